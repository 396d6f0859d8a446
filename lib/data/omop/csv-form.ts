import { DataError } from '../../errors.js';
import { type CsvDialect, CsvReading, type LineEnds } from './csv-reading.js';
import { encodingOf, type TextEncoding, utf8Bytes } from './csv-text.js';

/** How a CSV file is written, found out by reading all of it. */
export interface CsvForm extends CsvDialect {
	readonly encoding: TextEncoding;
	readonly lineEnds: LineEnds;
	/** Lower case. */
	readonly columns: readonly string[];
	/** Without the header. */
	readonly rows: number;
	/** Bytes. */
	readonly longestRecord: number;
}

// A header of the CDM has some hundred characters.
const longestHeader = 65_536;
const delimiters = ['\t', ',', ';', '|'];

/**
 * Finds out how a file is written. Text is quoted with doubled quotes unless only another reading gives every record as many
 * cells as the header: quotes inside a cell are written `\"`, or mean nothing (OHDSI's vocabulary files are tab-separated and
 * hold bare quotes). Spaces between cells are taken for delimiters where all names of the header are separated by one and every line has
 * as many cells.
 *
 * @throws {DataError} Names file, line, rule and fix; never what is in the line.
 */
export async function csvForm(path: string, name: string, given: 'utf-8' | 'latin-1'): Promise<CsvForm> {
	const encoding = await encodingOf(path, name, given);
	const header = await headerLine(path, name, encoding);
	const blanks = /^"?\w+"?( "?\w+"?)+$/.test(header);
	const [delimiter] = (blanks ? [' '] : delimiters)
		.map((candidate) => [candidate, header.split(candidate).length] as const)
		.reduce((best, next) => (next[1] > best[1] ? next : best));
	const columns = headerColumns(header, delimiter, name);
	const read = async (quoting: CsvDialect['quoting']) => {
		const reading = new CsvReading({ delimiter, quoting }, columns.length);
		for await (const bytes of utf8Bytes(path, name, encoding)) {
			reading.push(bytes);
			if (reading.fault !== undefined) break;
		}
		reading.finish();
		return reading;
	};
	const formOf = (quoting: CsvDialect['quoting'], reading: CsvReading): CsvForm => ({
		delimiter,
		quoting,
		encoding,
		lineEnds: reading.lineEnds,
		columns,
		rows: Math.max(0, reading.records - 1),
		longestRecord: reading.longest,
	});
	const doubled = await read('doubled');
	if (doubled.fault === undefined) {
		const quotes = delimiter !== '\t' || header.includes('"') || doubled.needed > 0 || doubled.hasQuotedColumn;
		if (quotes || doubled.quotes === 0) return formOf('doubled', doubled);
		return formOf('none', await read('none'));
	}
	const backslashed = await read('backslash');
	if (backslashed.fault === undefined && backslashed.backslashQuotes > 0) return formOf('backslash', backslashed);
	// Not with other delimiters: one broken quote would turn all quoted cells into text with quotes.
	if (delimiter === '\t' && !header.includes('"')) {
		const bare = await read('none');
		if (bare.fault === undefined) return formOf('none', bare);
	}
	const { line, cells } = doubled.fault;
	if (blanks) {
		throw new DataError('omop', {
			file: name,
			rule: 'must have as many cells in each line as in the header, whose names are separated by spaces',
			value:
				cells === 0 ? `another quoting in line ${line}` : `${cells} cells in line ${line} and ${columns.length} names`,
			fix: "export it with commas (in R: write.csv, or write.table with sep = ',' and row.names = FALSE)",
		});
	}
	throw new DataError('omop', {
		file: name,
		rule: 'must be readable',
		value:
			cells === 0
				? `Line: ${line} with a quote that is not closed, or text after one`
				: `Line: ${line} with ${cells} cells where the header has ${columns.length}`,
		fix:
			cells === columns.length + 1
				? 'export it without row names (row.names = FALSE, index=False), and text with delimiters in quotes'
				: 'export it again with text in quotes, and quotes in it doubled',
	});
}

async function headerLine(path: string, name: string, encoding: TextEncoding): Promise<string> {
	let text = '';
	for await (const bytes of utf8Bytes(path, name, encoding)) {
		text += bytes.toString('latin1', 0, longestHeader + 1);
		if (/[\r\n]/.test(text) || text.length > longestHeader) break;
	}
	const line = text.split(/[\r\n]/, 1)[0]!;
	if (line.trim() === '' || line.length > longestHeader) {
		throw new DataError('omop', {
			file: name,
			rule: 'must begin with a header line',
			value: text === '' ? 'an empty file' : `a line of ${line.length} characters`,
		});
	}
	return line;
}

function headerColumns(line: string, delimiter: string, name: string): string[] {
	const columns = line.split(delimiter).map((column) =>
		column
			.trim()
			.replace(/^"(.*)"$/, '$1')
			.trim()
			.toLowerCase(),
	);
	const place = columns.findIndex((column, i) => column === '' || columns.indexOf(column) !== i);
	if (place >= 0) {
		// Not the name itself: a file without a header begins with a patient.
		throw new DataError('omop', {
			file: name,
			rule: 'must begin with a header of distinct column names',
			value: `${columns[place] === '' ? 'no name' : 'a name that is there before'} in column ${place + 1}`,
			...(place === 0 ? { fix: 'export it without row names (row.names = FALSE, index=False)' } : {}),
		});
	}
	return columns;
}
