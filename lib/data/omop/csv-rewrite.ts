import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { CsvForm } from './csv-form.js';
import { utf8Bytes } from './csv-text.js';

/** Whether DuckDB reads a file as it is. It has no UTF-16, and takes one kind of line end in a file. */
export function mustBeRewritten({ encoding, lineEnds }: CsvForm): boolean {
	return encoding !== 'utf-8' || lineEnds === 'mixed';
}

/** Writes a CSV file in UTF-8 with line feeds, every cell as it is. */
export async function rewriteCsv(path: string, name: string, form: CsvForm, target: string): Promise<void> {
	await pipeline(withLineFeeds(utf8Bytes(path, name, form.encoding), form), createWriteStream(target));
}

const [lf, cr, quote, backslash] = [0x0a, 0x0d, 0x22, 0x5c];

/** Line ends between records become line feeds; those within quotes stay. */
async function* withLineFeeds(chunks: AsyncIterable<Buffer>, { quoting, delimiter }: CsvForm): AsyncGenerator<Buffer> {
	const border = delimiter.charCodeAt(0);
	let inQuotes = false;
	let escaped = false;
	let atStart = true;
	let afterCr = false;
	for await (const chunk of chunks) {
		const out = Buffer.alloc(chunk.length + 1);
		let length = 0;
		for (const byte of chunk) {
			if (inQuotes) {
				// A doubled quote ends the quotes and begins them again.
				if (byte === quote && !escaped) inQuotes = false;
				escaped = byte === backslash && !escaped && quoting === 'backslash';
				out[length++] = byte;
				afterCr = false;
				atStart = byte === quote;
				continue;
			}
			if (byte === lf && afterCr) {
				afterCr = false;
				continue;
			}
			afterCr = byte === cr;
			if (byte === quote && atStart && quoting !== 'none') inQuotes = true;
			atStart = byte === border || byte === lf || byte === cr || (atStart && byte === 0x20);
			out[length++] = byte === cr ? lf : byte;
		}
		yield out.subarray(0, length);
	}
}
