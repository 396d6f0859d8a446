import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { RecordBatchReader, type Vector } from 'apache-arrow';
import { DataError } from '../errors.js';
import { parseJson } from '../files/json.js';

/**
 * Sequences of token ids, one after the other: JSON lines (`[1, 2, 3]` or `{"tokens": [1, 2, 3]}`) or an Arrow IPC file or
 * stream with a list column `tokens`.
 *
 * @param vocabSize - Ids lie below it.
 * @throws {DataError} Names file, line or row, rule and value.
 */
export async function* readTokenSequences(file: string, vocabSize: number): AsyncGenerator<Int32Array> {
	for await (const { where, ids } of (await isArrow(file)) ? arrowRows(file) : jsonLines(file)) {
		if (ids.length === 0) refuse(file, `${where} must hold at least one token id`, 'none');
		for (const id of ids) {
			if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
				refuse(file, `${where} must hold token ids in [0, ${vocabSize})`, JSON.stringify(id));
			}
		}
		yield Int32Array.from(ids);
	}
}

function refuse(file: string, rule: string, value: string): never {
	throw new DataError('score', { file, rule, value });
}

interface Row {
	readonly where: string;
	readonly ids: ArrayLike<number> & Iterable<number>;
}

async function isArrow(file: string): Promise<boolean> {
	try {
		const handle = await open(file, 'r');
		try {
			const { buffer, bytesRead } = await handle.read(Buffer.alloc(6), 0, 6, 0);
			// The magic of a file, or the continuation marker of a stream.
			return bytesRead >= 4 && (buffer.toString('latin1') === 'ARROW1' || buffer.readUInt32LE(0) === 0xffffffff);
		} finally {
			await handle.close();
		}
	} catch (cause) {
		throw new DataError('score', { file, rule: 'must be readable', value: (cause as Error).message }, { cause });
	}
}

async function* jsonLines(file: string): AsyncGenerator<Row> {
	let number = 0;
	for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
		number++;
		if (line.trim() === '') continue;
		let value: unknown;
		try {
			value = parseJson(line);
		} catch (cause) {
			throw new DataError(
				'score',
				{ file, rule: `line ${number} must be JSON`, value: (cause as Error).message },
				{ cause },
			);
		}
		const ids = Array.isArray(value) ? value : (value as { readonly tokens?: unknown } | null)?.tokens;
		if (!Array.isArray(ids))
			refuse(
				file,
				`line ${number} must be an array of token ids, or an object with one in "tokens",`,
				line.slice(0, 40),
			);
		yield { where: `line ${number}`, ids: ids as number[] };
	}
}

async function* arrowRows(file: string): AsyncGenerator<Row> {
	let row = 0;
	for await (const batch of await RecordBatchReader.from(createReadStream(file))) {
		const column = batch.getChild('tokens');
		if (column === null) {
			refuse(file, 'must have a column tokens', batch.schema.names.join(', '));
		}
		for (let i = 0; i < batch.numRows; i++, row++) {
			const list = column.get(i) as Vector | null;
			if (list === null || typeof list !== 'object' || typeof list.toArray !== 'function') {
				refuse(file, `tokens of row ${row} must be a list of integers`, String(list));
			}
			yield { where: `row ${row}`, ids: Array.from(list.toArray() as Iterable<number | bigint>, Number) };
		}
	}
}
