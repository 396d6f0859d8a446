import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { DataType, RecordBatchReader, type Vector } from 'apache-arrow';
import { DataError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { parseJson, repeatedKey } from '../files/json.js';
import { isObject, kindOf, shown } from '../found.js';

/**
 * Sequences of token ids, one after the other: JSON lines (`[1, 2, 3]` or `{"tokens": [1, 2, 3]}`) or an Arrow IPC file or
 * stream with a list column `tokens`, uncompressed.
 *
 * @param vocabSize - Ids lie below it.
 * @throws {DataError} Names file, line or row, rule and value.
 */
export async function* readTokenSequences(file: string, vocabSize: number): AsyncGenerator<Int32Array> {
	let sequences = 0;
	for await (const { where, ids } of (await isArrow(file)) ? arrowRows(file) : jsonLines(file)) {
		if (ids.length === 0) refuse(file, `${where} must hold at least one token id`, 'none');
		for (const id of ids) {
			if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
				refuse(
					file,
					`${where} must hold token ids in [0, ${vocabSize})`,
					typeof id === 'number' ? shown(id) : `${kindOf(id)} in place of one`,
				);
			}
		}
		sequences++;
		yield Int32Array.from(ids);
	}
	if (sequences === 0) refuse(file, 'must hold at least one sequence of token ids', 'none');
}

function refuse(file: string, rule: string, value: string, fix?: string): never {
	throw new DataError('score', { file, rule, value, ...(fix === undefined ? {} : { fix }) });
}

interface Row {
	readonly where: string;
	readonly ids: ArrayLike<number> & Iterable<number>;
}

const writeArrow = "pyarrow.feather.write_feather(table, file, compression='uncompressed')";
const rewrite = `write it with ${writeArrow}`;
const decompress = 'decompress it first';
const asLines = 'write each sequence as a line [1, 2, 3]';
/** Files that are often given in place of one of token ids, by how they begin and where. */
const foreign: readonly (readonly [start: string, name: string, fix: string, offset?: number])[] = [
	['PAR1', 'a parquet file', rewrite],
	['FEA1', 'a Feather file of version 1', rewrite],
	['\x1f\x8b', 'one that is compressed with gzip', decompress],
	['\x28\xb5\x2f\xfd', 'one that is compressed with zstd', decompress],
	['\x04\x22\x4d\x18', 'one that is compressed with lz4', decompress],
	['\xfd7zXZ', 'one that is compressed with xz', decompress],
	['BZh', 'one that is compressed with bzip2', decompress],
	['PK\x03\x04', 'a zip archive (.zip, .npz)', 'take the file out of it'],
	['ustar', 'a tar archive', 'take the file out of it', 257],
	['\x93NUMPY', 'an array of NumPy', asLines],
	['\x80', 'a pickle of Python', asLines],
	['\xff\xfe', 'text in UTF-16', 'write it in UTF-8'],
	['\xfe\xff', 'text in UTF-16', 'write it in UTF-8'],
];

/** @throws {DataError} For a file that cannot be opened, or is of another kind. */
async function isArrow(file: string): Promise<boolean> {
	const handle = await open(file, 'r').catch((cause) => refuseUnreadable(file, cause));
	try {
		const { buffer, bytesRead } = await handle
			.read(Buffer.alloc(262), 0, 262, 0)
			.catch((cause) => refuseUnreadable(file, cause));
		const text = buffer.toString('latin1', 0, bytesRead);
		const other = foreign.find(([start, , , offset = 0]) => text.startsWith(start, offset));
		if (other !== undefined) refuse(file, 'must be JSON lines or an Arrow file', other[1], other[2]);
		// The mark of a file, or the continuation marker of a stream.
		return text.startsWith('ARROW1') || (bytesRead >= 4 && buffer.readUInt32LE(0) === 0xffffffff);
	} finally {
		await handle.close();
	}
}

function refuseUnreadable(file: string, cause: Error): never {
	throw new DataError(
		'score',
		{ file, rule: 'must be readable', value: faultOf(cause), fix: 'check the path' },
		{ cause },
	);
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
				{ file, rule: `line ${number} must be JSON`, value: (cause as Error).message, fix: asLines },
				{ cause },
			);
		}
		const twice = repeatedKey(line);
		if (twice !== undefined) refuse(file, `line ${number} must name every key once`, 'one that is there twice');
		const ids = isObject(value) ? value.tokens : value;
		if (!Array.isArray(ids))
			refuse(
				file,
				`line ${number} must be a list of token ids, or an object with one in "tokens",`,
				isObject(value) ? `an object with ${kindOf(ids)} in "tokens"` : kindOf(value),
			);
		yield { where: `line ${number}`, ids: ids as number[] };
	}
}

const asLists = `cast the column with pyarrow to list_(int64()) and write it with ${writeArrow}`;

/** What Arrow's reader says of a file that is whole but not for it, and what to do. */
const unread: readonly (readonly [message: RegExp, value: (found: string) => string, fix: string])[] = [
	[/codec not found|compress/i, () => 'a compressed one', `write it again with ${writeArrow}`],
	[/Unrecognized type: "(\w+)"/, (type) => `a column of the type ${type}`, asLists],
	[
		/Expected to read \d+|Invalid message|Unexpected end|out of bounds|RangeError/i,
		() => 'one that was cut off or damaged',
		'write it again',
	],
];

/** @throws {DataError} Also for what Arrow's reader cannot read: compressed, cut off, of a type it does not know. */
async function* arrowRows(file: string): AsyncGenerator<Row> {
	await requireWhole(file);
	try {
		yield* arrowLists(file);
	} catch (cause) {
		if (cause instanceof DataError) throw cause;
		const { message } = cause as Error;
		const rule = 'must be a whole, uncompressed Arrow file with a list column tokens';
		for (const [pattern, value, fix] of unread) {
			const found = pattern.exec(message);
			if (found === null) continue;
			throw new DataError('score', { file, rule, value: value(found[1] ?? ''), fix }, { cause });
		}
		const value = `what Arrow's reader cannot read (${message})`;
		throw new DataError('score', { file, rule, value, fix: `write it again with ${writeArrow}` }, { cause });
	}
}

/** An Arrow file ends as it begins, a stream with an empty message: one that was cut off only seems shorter. */
async function requireWhole(file: string): Promise<void> {
	const handle = await open(file, 'r');
	try {
		const { size } = await handle.stat();
		const bytes = Buffer.alloc(14);
		await handle.read(bytes, 0, 6, 0);
		await handle.read(bytes, 6, 8, Math.max(0, size - 8));
		const asFile = bytes.toString('latin1', 0, 6) === 'ARROW1';
		const whole = asFile ? bytes.toString('latin1', 8) === 'ARROW1' : bytes.readBigUInt64LE(6) === 0xffffffffn;
		if (whole && size >= 16) return;
		const kind = asFile ? 'file' : 'stream';
		refuse(file, `must end with the mark of an Arrow ${kind}`, 'one that was cut off', 'write it again');
	} finally {
		await handle.close();
	}
}

/** The integers may lie in a dictionary; Arrow's reader does not read lists that do. */
function isListOfIntegers(type: DataType): boolean {
	if (!(DataType.isList(type) || DataType.isLargeList(type) || DataType.isFixedSizeList(type))) return false;
	const item: DataType | undefined = type.children[0]?.type;
	return DataType.isInt(DataType.isDictionary(item) ? item.dictionary : item);
}

async function* arrowLists(file: string): AsyncGenerator<Row> {
	let row = 0;
	for await (const batch of await RecordBatchReader.from(createReadStream(file))) {
		const column = batch.getChild('tokens');
		if (column === null) refuse(file, 'must have a column tokens', batch.schema.names.join(', ') || 'none');
		if (!isListOfIntegers(column.type))
			refuse(file, 'column tokens must be a list of integers', String(column.type), asLists);
		for (let i = 0; i < batch.numRows; i++, row++) {
			const list = column.get(i) as Vector | null;
			const ids = list === null ? [null] : Array.from(list as Iterable<number | bigint | null>);
			if (ids.includes(null))
				refuse(file, `tokens of row ${row} must be a list of integers`, list === null ? 'null' : 'a null in it');
			yield { where: `row ${row}`, ids: ids.map(Number) };
		}
	}
}
