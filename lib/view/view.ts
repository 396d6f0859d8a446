import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { AbortedError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { requirePath } from '../files/path.js';
import type { LongOperation } from '../types.js';
import { notAFolder, ViewServer } from './view-server.js';

export const ViewOptions = z.strictObject({
	/** Port on 127.0.0.1; 0 is any free one. */
	port: z.int().min(0).max(65_535).default(0),
	/** How often metrics are looked at, milliseconds. */
	interval: z.int().min(10).max(600_000).default(1000),
});
export type ViewOptions = z.input<typeof ViewOptions>;

/** Runs being shown. */
export interface RunView extends AsyncDisposable {
	/** `http://127.0.0.1:<port>/<token>/`. Whoever has it can see the runs, and nobody else. */
	readonly address: string;
	readonly port: number;
	/** Resolves when the view has ended, by {@link RunView.close} or the signal. */
	readonly closed: Promise<void>;
	/** Ends every connection and lets the port go. */
	close(): Promise<void>;
}

/**
 * Serves the runs of a folder as a page that follows their training: losses, monitors, throughput, instruments, time left, two
 * runs compared. It listens on 127.0.0.1 alone, reads what other processes append to `metrics.jsonl`, and writes nothing.
 *
 * @param directory - A run, or a folder with runs up to three levels below; they may appear and vanish.
 * @param operation - Its signal ends the view.
 * @throws {ConfigError} A wrong option, or a port that is taken. {DataError} When there is no such folder. {AbortedError}
 */
export async function viewRuns(
	directory: string,
	options: ViewOptions = {},
	{ signal }: Pick<LongOperation, 'signal'> = {},
): Promise<RunView> {
	requirePath('view', 'directory', directory);
	const { port, interval } = parseConfig('view', ViewOptions, options);
	const requireGoing = () => {
		if (signal?.aborted === true)
			throw new AbortedError('[view] was stopped before it began', { cause: signal.reason });
	};
	requireGoing();
	const found = await stat(directory).catch((cause: unknown) => {
		throw notAFolder(directory, faultOf(cause));
	});
	if (!found.isDirectory()) throw notAFolder(directory, 'a file');
	const server = new ViewServer(directory, interval);
	await server.listen(port);
	let ended = () => {};
	const closed = new Promise<void>((resolve) => {
		ended = resolve;
	});
	const close = async () => {
		signal?.removeEventListener('abort', close);
		await server.close();
		ended();
	};
	if (signal?.aborted === true) {
		await close();
		requireGoing();
	}
	signal?.addEventListener('abort', close, { once: true });
	return { address: server.address, port: server.port, closed, close, [Symbol.asyncDispose]: close };
}
