import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../errors.js';

/** How a CSV file is written, read off its first line. */
export interface CsvHeader {
	readonly delimiter: string;
	/** Lower case. */
	readonly columns: readonly string[];
}

// A header of the CDM has some hundred characters.
const longestHeader = 65_536;

/**
 * Reads the header. OHDSI's vocabulary downloads are tab-separated and unquoted under the name .csv; other exports use comma,
 * semicolon or bar.
 *
 * @throws {DataError} When there is no header.
 */
export async function readCsvHeader(path: string, name: string): Promise<CsvHeader> {
	const line = await firstLine(path, name);
	const [delimiter] = ['\t', ',', ';', '|']
		.map((candidate) => [candidate, line.split(candidate).length] as const)
		.reduce((best, next) => (next[1] > best[1] ? next : best));
	const columns = line.split(delimiter).map((column) =>
		column
			.trim()
			.replace(/^"(.*)"$/, '$1')
			.trim()
			.toLowerCase(),
	);
	const repeated = columns.find((column, i) => column === '' || columns.indexOf(column) !== i);
	if (repeated !== undefined) {
		throw new DataError('omop', {
			file: name,
			rule: 'must begin with a header of distinct column names',
			value: repeated === '' ? 'an empty name' : `"${repeated}" twice`,
		});
	}
	return { delimiter, columns };
}

async function firstLine(path: string, name: string): Promise<string> {
	const raw = createReadStream(path);
	const stream = /\.gz$/i.test(path) ? raw.pipe(createGunzip()) : raw;
	// pipe() does not pass errors on.
	raw.on('error', (error) => stream.destroy(error));
	let text = '';
	try {
		for await (const chunk of stream) {
			text += (chunk as Buffer).toString('latin1');
			if (/[\r\n]/.test(text) || text.length > longestHeader) break;
		}
	} catch (cause) {
		throw new DataError('omop', { file: name, rule: 'must be readable', value: (cause as Error).message }, { cause });
	} finally {
		stream.destroy();
		raw.destroy();
	}
	const byteOrderMark = /^(\u00ef\u00bb\u00bf)/;
	const line = text.replace(byteOrderMark, '').split(/[\r\n]/, 1)[0]!;
	if (line.trim() === '' || line.length > longestHeader) {
		throw new DataError('omop', {
			file: name,
			rule: 'must begin with a header line',
			value: text === '' ? 'an empty file' : `a line of ${line.length} characters`,
		});
	}
	return line;
}
