import type { LongOperation } from '../types.js';
import { ProgressLine } from './progress-line.js';

/** What a command runs with: its abort signal, progress on stderr, and its result on stdout. */
export interface CommandContext {
	readonly signal: AbortSignal;
	/** Options of a long operation; `stage` renames its progress. */
	operation(stage?: string): LongOperation;
	/** Prints the result: the JSON of `data` with --json, the text otherwise. */
	result(text: string, data: unknown): void;
	/** A line for people, on stderr; silent with --json. */
	say(text: string): void;
}

/** Runs a command with Ctrl-C as abort: the first asks it to stop at a safe point, the second ends the process. @param options.silent - Prints nothing. */
export async function withContext(
	json: boolean,
	run: (context: CommandContext) => Promise<void>,
	{ silent = false }: { readonly silent?: boolean } = {},
): Promise<void> {
	const controller = new AbortController();
	const progress = new ProgressLine();
	const interrupt = () => {
		if (controller.signal.aborted) process.exit(130);
		progress.finish();
		if (!silent) process.stderr.write('stopping at the next safe point (again to quit at once)\n');
		controller.abort(new Error('interrupted'));
	};
	process.on('SIGINT', interrupt);
	process.on('SIGTERM', interrupt);
	try {
		await run({
			signal: controller.signal,
			operation: (stage) => ({
				signal: controller.signal,
				onProgress: silent
					? undefined
					: (update) => progress.update(stage === undefined ? update : { ...update, stage }),
				onWarning: (message) => {
					if (silent) return;
					progress.finish();
					process.stderr.write(`warning: ${message}\n`);
				},
			}),
			result: (text, data) => {
				if (silent) return;
				progress.finish();
				process.stdout.write(json ? `${JSON.stringify(data, bigintAsText, '\t')}\n` : `${text}\n`);
			},
			say: (text) => {
				progress.finish();
				if (!json && !silent) process.stderr.write(`${text}\n`);
			},
		});
	} finally {
		progress.finish();
		// After a first Ctrl-C they stay: the second may come while the process is leaving, and must not end it by the signal.
		if (!controller.signal.aborted) {
			process.off('SIGINT', interrupt);
			process.off('SIGTERM', interrupt);
		}
	}
}

function bigintAsText(_key: string, value: unknown): unknown {
	return typeof value === 'bigint' ? value.toString() : value;
}
