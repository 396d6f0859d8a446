import { AbortedError, ConfigError, DataError, type EhrJepaError, OutputError, VocabularyError } from '../errors.js';

/** An error as it passes between threads: `postMessage` would take its class and its fields away. */
export interface ThreadError {
	readonly message: string;
	readonly code: string | undefined;
	readonly stack: string | undefined;
	readonly data?: { readonly file: string; readonly rule: string; readonly column?: string; readonly value?: string };
}

export function toThreadError(error: unknown): ThreadError {
	const { message, stack, code } = error as NodeJS.ErrnoException;
	const base = { message: message ?? String(error), stack, code };
	if (!(error instanceof DataError)) return base;
	const { file, rule, column, value } = error;
	return {
		...base,
		data: { file, rule, ...(column === undefined ? {} : { column }), ...(value === undefined ? {} : { value }) },
	};
}

export function fromThreadError({ message, code, stack, data }: ThreadError): Error {
	const error = typed(message, code, data);
	error.message = message;
	if (stack !== undefined) error.stack = stack;
	return error;
}

function typed(message: string, code: string | undefined, data: ThreadError['data']): Error {
	if (data !== undefined) return new DataError('prepare', data);
	const classes: readonly (new (text: string) => EhrJepaError)[] = [
		ConfigError,
		OutputError,
		VocabularyError,
		AbortedError,
	];
	const found = classes.find((made) => new made('').code === code);
	return found === undefined ? Object.assign(new Error(message), { code }) : new found(message);
}
