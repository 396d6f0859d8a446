import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, resolve } from 'node:path';
import { ConfigError, DataError } from '../errors.js';
import { newToken, refusal, sameToken } from './access.js';
import { EventClients, type State } from './event-clients.js';
import type { LiveRun } from './live-run.js';
import { livePage } from './page.js';
import { RunList } from './run-list.js';
import { liveSections } from './sections.js';

const host = '127.0.0.1';
/** Runs that are drawn when none is chosen, and at most. */
const drawnRuns = 4;
/** How often folders are looked through for runs, and pages are told that time has passed, milliseconds. */
const scanMs = 5000;
const keepAliveMs = 15_000;
/** Selections of which the page's parts are kept. */
const mostStates = 16;

/** Answers requests for the runs of one folder, and follows them. */
export class ViewServer {
	readonly #title: string;
	readonly #runs: RunList;
	readonly #clients = new EventClients();
	readonly #token = newToken();
	readonly #states = new Map<string, State>();
	readonly #server: Server;
	readonly #interval: number;
	#port = 0;
	#timer: NodeJS.Timeout | undefined;
	#polling: Promise<void> | undefined;
	#scannedAt = Number.NEGATIVE_INFINITY;
	#keptAliveAt = performance.now();
	#closing: Promise<void> | undefined;

	constructor(directory: string, interval: number) {
		this.#title = `Runs in ${basename(resolve(directory))}`;
		this.#runs = new RunList(directory);
		this.#interval = interval;
		this.#server = createServer((request, response) => this.#answer(request, response));
	}

	get port(): number {
		return this.#port;
	}
	get address(): string {
		return `http://${host}:${this.#port}/${this.#token}/`;
	}

	/** @throws {ConfigError} When the port is taken or may not be used. */
	async listen(port: number): Promise<void> {
		await new Promise<void>((done, fail) => {
			this.#server.once('error', fail);
			this.#server.listen(port, host, () => {
				this.#server.off('error', fail);
				done();
			});
		}).catch((cause: NodeJS.ErrnoException) => {
			const found = cause.code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${cause.code ?? cause.message})`;
			throw new ConfigError(`[view] port must be free but ${port} ${found}; choose another, or 0 for any free one`, {
				cause,
			});
		});
		this.#port = (this.#server.address() as AddressInfo).port;
		await this.#poll();
		this.#plan();
	}

	/** Ends every connection; resolves when nothing is left open. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		clearTimeout(this.#timer);
		this.#clients.end();
		const closed = new Promise<void>((done) => {
			this.#server.close(() => done());
		});
		this.#server.closeIdleConnections();
		// What was said last is on its way; who does not take it is not waited for.
		setTimeout(() => this.#server.closeAllConnections(), 200).unref();
		await this.#polling;
		await closed;
	}

	#plan(): void {
		if (this.#closing !== undefined) return;
		this.#timer = setTimeout(() => {
			this.#polling = this.#poll().finally(() => this.#plan());
		}, this.#interval);
	}

	async #poll(): Promise<void> {
		const now = performance.now();
		let changed = false;
		const passed = now - this.#scannedAt >= Math.min(scanMs, 5 * this.#interval);
		if (passed) {
			changed = await this.#runs.scan();
			this.#scannedAt = now;
		}
		for (const run of this.#runs.runs) {
			if (this.#closing !== undefined) return;
			if (await run.poll()) changed = true;
		}
		if (changed || passed) {
			this.#states.clear();
			this.#clients.send((selection) => this.#state(selection));
		}
		if (now - this.#keptAliveAt >= keepAliveMs) {
			this.#clients.keepAlive();
			this.#keptAliveAt = now;
		}
	}

	/** The page's parts for a selection, drawn once until something is new. */
	#state(selection: readonly string[]): State {
		const key = JSON.stringify(selection);
		const known = this.#states.get(key);
		if (known !== undefined) return known;
		const sections = liveSections(this.#runs.runs, this.#chosen(selection), Date.now());
		const state = new Map([...sections].map(([id, { text }]) => [id, text]));
		if (this.#states.size < mostStates) this.#states.set(key, state);
		return state;
	}

	/** The runs of a selection that are there; without one the newest. */
	#chosen(selection: readonly string[]): LiveRun[] {
		if (selection.length > 0) return selection.flatMap((name) => this.#runs.get(name) ?? []);
		const newest = this.#runs.runs.toSorted((a, b) => b.modified - a.modified).slice(0, drawnRuns);
		return this.#runs.runs.filter((run) => newest.includes(run));
	}

	#answer(request: IncomingMessage, response: ServerResponse): void {
		for (const [name, value] of Object.entries(safetyHeaders)) response.setHeader(name, value);
		// Not parsed as a path: ".." and its spellings name nothing here.
		const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s);
		const [, token = '', ...rest] = path.split('/');
		const place = rest.join('/');
		const selection = [...new Set(new URLSearchParams(query).getAll('run'))].filter((name) => name !== '');
		const refused = this.#refused(request, token, rest.length === 1 ? place : undefined, selection);
		if (refused !== undefined) plain(response, ...refused);
		else if (place === '') this.#page(response, selection);
		else if (!this.#clients.add(response, selection, this.#state(selection)))
			plain(response, 503, 'too many pages are open');
	}

	/** @param place - What is asked for below the token; undefined when it holds a slash, or the one after the token is missing. */
	#refused(
		request: IncomingMessage,
		token: string,
		place: string | undefined,
		selection: readonly string[],
	): [status: number, text: string] | undefined {
		const reason = refusal(request, this.#port);
		if (reason !== undefined) return [403, `refused: ${reason}`];
		if (!sameToken(token, this.#token)) return [403, 'refused: the address must hold its token'];
		if (request.method !== 'GET') return [405, 'only GET'];
		if (place !== '' && place !== 'events') return [404, 'there is no such page'];
		if (selection.length > drawnRuns) return [400, `at most ${drawnRuns} runs are drawn together`];
		// A page that is open when its run vanishes goes on; a new one says so.
		const isUnknown = selection.some((name) => this.#runs.get(name) === undefined);
		return isUnknown && place === '' ? [404, 'there is no such run in this folder'] : undefined;
	}

	#page(response: ServerResponse, selection: readonly string[]): void {
		const nonce = newToken();
		const runs = this.#runs.runs;
		const chosen = this.#chosen(selection);
		const sections = this.#state(selection);
		response.setHeader(
			'content-security-policy',
			`default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-${nonce}'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
		);
		response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
		response.end(livePage({ title: this.#title, runs, chosen, sections, nonce }).text);
	}
}

const safetyHeaders = {
	'cache-control': 'no-store',
	'content-security-policy': "default-src 'none'",
	'cross-origin-resource-policy': 'same-origin',
	'referrer-policy': 'same-origin',
	'x-content-type-options': 'nosniff',
	'x-frame-options': 'DENY',
};

function plain(response: ServerResponse, status: number, text: string): void {
	if (status === 405) response.setHeader('allow', 'GET');
	response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
	response.end(`${text}\n`);
}

/** @throws {DataError} For what is no folder. */
export function notAFolder(directory: string, value: string): DataError {
	return new DataError('view', {
		file: directory,
		rule: 'must be a folder of runs, or a run',
		value,
		fix: 'give the folder that train, demo or study writes into',
	});
}
