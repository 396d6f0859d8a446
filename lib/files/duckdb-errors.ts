import { DataError, OutputError } from '../errors.js';

/**
 * DuckDB's errors in our types. Many of them quote what could not be read: the line of a CSV file, the text that is no
 * number. That may be a patient's, so only what is listed here is passed on, and never the error itself as a cause.
 */
export function databaseError(error: unknown): DataError | OutputError {
	const message = error instanceof Error ? error.message : '';
	const first = message.split('\n')[0]!;
	const kind = /^((?:[A-Z][A-Za-z]*|INTERNAL|FATAL)(?: [A-Za-z]+)?) Error\b/.exec(first)?.[1]?.toLowerCase();
	if (/Permission denied/i.test(first))
		return new OutputError(`[query] input must be readable and output writable but ${fileOf(message)} may be neither`);
	if (/No space left|disk full|Could not write|failed to write/i.test(first))
		return new OutputError(`[query] output must be writable but found ${systemReason(first)}`);
	if (/^Out of Memory Error/i.test(first)) {
		const used = /\(([\d.]+ [A-Za-z]+\/[\d.]+ [A-Za-z]+ used)\)/.exec(message)?.[1];
		return new OutputError(
			`[query] memory and room for temporary files must suffice but do not${used === undefined ? '' : `: ${used}`}`,
		);
	}
	const file = fileOf(message);
	for (const [pattern, fault] of faults) {
		const found = pattern.exec(message);
		if (found !== null) return new DataError('query', { file, ...fault(found) });
	}
	const value = `something that DuckDB refuses${kind === undefined ? '' : ` (${kind})`}`;
	return new DataError('query', { file, rule: 'must be readable', value });
}

interface Fault {
	readonly rule: string;
	readonly value: string;
	readonly fix?: string;
}

const at = (line: string | undefined) => (line === undefined ? '' : ` at line ${line}`);

/** What is understood of DuckDB's messages. Nothing that was read is in what is taken from them: numbers, types, names of columns in our own SQL. */
const faults: readonly (readonly [pattern: RegExp, fault: (found: RegExpExecArray) => Fault])[] = [
	[
		/Invalid string encoding found in Parquet file/,
		() => ({
			rule: 'must hold text in UTF-8',
			value: 'text in another encoding',
			fix: 'convert the text where the file is written; ehr-jepa validate names the column',
		}),
	],
	[
		/CSV Error on Line: (\d+)[\s\S]*Expected Number of Columns: (\d+) Found: (\d+)/,
		([, line, wanted, cells]) => ({
			rule: `must have ${wanted} cells in every record`,
			value: `${cells} cells${at(line)}`,
		}),
	],
	[
		/CSV Error on Line: (\d+)[\s\S]*(?:Invalid unicode|not utf-8)/i,
		([, line]) => ({ rule: 'must be UTF-8', value: `other bytes${at(line)}` }),
	],
	[
		/CSV Error on Line: (\d+)[\s\S]*Maximum line size of (\d+) bytes exceeded/,
		([, line, bytes]) => ({ rule: `must have records of at most ${bytes} bytes`, value: `a longer one${at(line)}` }),
	],
	[
		/CSV Error on Line: (\d+)/,
		([, line]) => ({
			rule: 'must be readable as CSV',
			value: `a quote that is not closed, or text after one,${at(line)}`,
		}),
	],
	[
		/^Binder Error: (?:Referenced column|Column|Table "[^"]*" does not have a column named) "?([A-Za-z_0-9.]+)"? ?(?:not found|in |$)?/,
		([, column]) => ({ rule: `must have a column ${column}`, value: 'none' }),
	],
	[/No files found that match/, () => ({ rule: 'must be a file', value: 'none of that name, or a folder' })],
	[
		/is encrypted, but|encryption_config/,
		() => ({ rule: 'must not be encrypted', value: 'an encrypted parquet file', fix: 'decrypt it first' }),
	],
	[
		/No magic bytes|too small to be a Parquet file|not a parquet file|Footer length error/i,
		() => ({ rule: 'must be readable as a whole parquet file', value: 'a file that is none, or is cut off' }),
	],
	[
		/^Conversion Error[\s\S]* to (?:type )?([A-Z][A-Z0-9_]+)/,
		([, type]) => ({ rule: 'must hold values that can be read', value: `a value that is no ${type}` }),
	],
	[
		/^(IO|TProtocol|Parquet|Invalid Input|Invalid|Serialization|INTERNAL) ?(?:Error|Exception)/,
		([, kind]) => ({
			rule: 'must be a readable file',
			value: `${kind === 'IO' ? 'an error of the file system' : 'damaged or foreign contents'}`,
		}),
	],
];

/** Name of the file where the message says it in the form of DuckDB's own text, outside of any quoted line. */
function fileOf(message: string): string {
	const patterns = [
		/^ {2}file ?= ?(.+\.(?:csv|csv\.gz|parquet))$/m,
		/(?:in Parquet file|in file|at end of file|file|pattern|open) ["'](\/[^"'\n]*)["']/i,
	];
	for (const pattern of patterns) {
		const found = pattern.exec(message)?.[1];
		if (found !== undefined) return found.replaceAll(/\[([[*?])\]/g, '$1');
	}
	return 'input';
}

function systemReason(message: string): string {
	return /No space left|disk full/i.test(message) ? 'a full disk (No space left on device)' : 'a write that failed';
}
