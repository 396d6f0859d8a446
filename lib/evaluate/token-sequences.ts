import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { DataType, RecordBatchReader, type Vector } from 'apache-arrow';
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

/** @throws {DataError} Also for what Arrow's reader cannot read: compressed, cut off, of a type it does not know. */
async function* arrowRows(file: string): AsyncGenerator<Row> {
	await requireWholeFile(file);
	try {
		yield* arrowLists(file);
	} catch (cause) {
		if (cause instanceof DataError) throw cause;
		throw new DataError(
			'score',
			{
				file,
				rule: 'must be a whole, uncompressed Arrow file with a list column tokens',
				value: `what cannot be read (${(cause as Error).message})`,
				fix: "write it again with pyarrow.feather.write_feather(table, file, compression='uncompressed')",
			},
			{ cause },
		);
	}
}

/** An Arrow file ends as it begins; read as a stream, one that was cut off only seems shorter. */
async function requireWholeFile(file: string): Promise<void> {
	const handle = await open(file, 'r');
	try {
		const { size } = await handle.stat();
		const bytes = Buffer.alloc(12);
		await handle.read(bytes, 0, 6, 0);
		await handle.read(bytes, 6, 6, Math.max(0, size - 6));
		if (bytes.toString('latin1', 0, 6) === 'ARROW1' && bytes.toString('latin1', 6) !== 'ARROW1')
			refuse(file, 'must end with the mark of an Arrow file', 'a file that was cut off');
	} finally {
		await handle.close();
	}
}

async function* arrowLists(file: string): AsyncGenerator<Row> {
	let row = 0;
	for await (const batch of await RecordBatchReader.from(createReadStream(file))) {
		const column = batch.getChild('tokens');
		if (column === null) {
			refuse(file, 'must have a column tokens', batch.schema.names.join(', '));
		}
		const type: DataType = column.type;
		const item = type.children?.[0]?.type;
		if (!(DataType.isList(type) || DataType.isFixedSizeList(type)) || !DataType.isInt(item))
			refuse(file, 'column tokens must be a list of integers', String(type));
		for (let i = 0; i < batch.numRows; i++, row++) {
			const list = column.get(i) as Vector | null;
			if (list === null || list.nullCount > 0)
				refuse(file, `tokens of row ${row} must be a list of integers`, list === null ? 'null' : 'a null in it');
			yield { where: `row ${row}`, ids: Array.from(list.toArray() as Iterable<number | bigint>, Number) };
		}
	}
}
