import type { ServerResponse } from 'node:http';

/** Pages that are kept up to date at the same time; one more is refused. */
const mostClients = 64;
/** What may wait in the socket of a client that does not read; it gets the newest state when it does. */
const mostBuffered = 2 ** 20;

const lastEvent = 'event: end\ndata: {}\n\n';

/** The page's parts by their place. */
export type State = ReadonlyMap<string, string>;

interface Client {
	readonly response: ServerResponse;
	/** Names of the runs that it draws; empty: the newest. */
	readonly selection: readonly string[];
	/** What it was last sent, by place of the page. */
	readonly sent: Map<string, string>;
}

/** Pages that listen for server-sent events. */
export class EventClients {
	readonly #clients = new Set<Client>();
	#ended = false;

	/**
	 * Begins the stream with the whole state. A page that asks while the view ends has the last state and the end in one.
	 *
	 * @returns False when there are too many.
	 */
	add(response: ServerResponse, selection: readonly string[], state: State): boolean {
		if (this.#clients.size >= mostClients) return false;
		const client: Client = { response, selection, sent: new Map() };
		response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
		response.write('retry: 2000\n\n');
		update(client, state);
		if (this.#ended) {
			response.end(lastEvent);
			return true;
		}
		this.#clients.add(client);
		response.on('close', () => this.#clients.delete(client));
		return true;
	}

	/** Sends each client the places that have changed for it. @param stateOf - The page's parts for a selection. */
	send(stateOf: (selection: readonly string[]) => State): void {
		for (const client of this.#clients)
			if (client.response.writableLength <= mostBuffered) update(client, stateOf(client.selection));
	}

	/** A line that says nothing: a connection that is gone is noticed. */
	keepAlive(): void {
		for (const { response } of this.#clients) if (response.writableLength < mostBuffered) response.write(':\n\n');
	}

	/** Tells every client that there is no more. */
	end(): void {
		this.#ended = true;
		for (const { response } of this.#clients) response.end(lastEvent);
		this.#clients.clear();
	}
}

function update({ response, sent }: Client, state: State): void {
	const changed = [...state].filter(([id, text]) => sent.get(id) !== text);
	if (changed.length === 0) return;
	for (const [id, text] of changed) sent.set(id, text);
	const data = JSON.stringify(changed.map(([id, text]) => ({ id, html: text })));
	response.write(`event: update\ndata: ${data}\n\n`);
}
