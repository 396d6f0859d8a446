import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Field, Float64, Int64, List, tableFromArrays, tableToIPC, vectorFromArray } from 'apache-arrow';
import t from 'tap';
import { readTokenSequences } from '../../lib/evaluate/token-sequences.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

/** Streams as pyarrow writes them, of kinds that Arrow's own writer in JavaScript does not write. */
const pyarrow = {
	lz4:
		'/////6gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAEAAAA0P///wAAAQwUAAAAIAAA' +
		'AAQAAAABAAAAKAAAAAYAAAB0b2tlbnMAAAQABAAEAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAECEAAAABwAAAAEAAAAAAAAAAQA' +
		'AABpdGVtAAAGAAgABAAGAAAACAAAAAAAAAD/////yAAAABQAAAAAAAAADAAYAAYABQAIAAwADAAAAAADBAAcAAAAUAAAAAAAAAAA' +
		'AAAADAAcABAABAAIAAwADAAAAGgAAAAcAAAAFAAAAAIAAAAAAAAAAAAAAAQABAAEAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
		'AAAAACMAAAAAAAAAKAAAAAAAAAAAAAAAAAAAACgAAAAAAAAAIgAAAAAAAAAAAAAAAgAAAAIAAAAAAAAAAAAAAAAAAABBAAAAAAAA' +
		'AAAAAAAAAAAADAAAAAAAAAAEIk0YYECCDAAAgAAAAABAAAAAQQAAAAAAAAAAAAAAAEEAAAAAAAAABCJNGGBAggsAAAAfAQEAKFAB' +
		'AQEBAgAAAAAAAAAAAAD/////AAAAAA==',
	zstd:
		'/////6gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAEAAAA0P///wAAAQwUAAAAIAAA' +
		'AAQAAAABAAAAKAAAAAYAAAB0b2tlbnMAAAQABAAEAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAECEAAAABwAAAAEAAAAAAAAAAQA' +
		'AABpdGVtAAAGAAgABAAGAAAACAAAAAAAAAD/////0AAAABQAAAAAAAAADAAYAAYABQAIAAwADAAAAAADBAAcAAAAQAAAAAAAAAAA' +
		'AAAADAAeABAABAAIAAwADAAAAHAAAAAkAAAAGAAAAAIAAAAAAAAAAAAAAAAABgAIAAcABgAAAAAAAAEEAAAAAAAAAAAAAAAAAAAA' +
		'AAAAAAAAAAAAAAAAHQAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAIAAAAAAAAAAaAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAAAAAAAA' +
		'AEEAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACi1L/0gDGEAAAAAAABAAAAAQQAAAAAAAEEAAAAAAAAAKLUv/SBBTQAAGAEBAgEAkwAW' +
		'AAAAAAAA/////wAAAAA=',
	listView:
		'/////6gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAEAAAA0P///wAAARkUAAAAIAAA' +
		'AAQAAAABAAAAKAAAAAYAAAB0b2tlbnMAAAQABAAEAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAECEAAAABwAAAAEAAAAAAAAAAQA' +
		'AABpdGVtAAAGAAgABAAGAAAACAAAAAAAAAD/////yAAAABQAAAAAAAAADAAWAAYABQAIAAwADAAAAAADBAAYAAAAGAAAAAAAAAAA' +
		'AAoAGAAMAAQACAAKAAAAbAAAABAAAAACAAAAAAAAAAAAAAAFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACAAAAAAAAAAIAAAA' +
		'AAAAAAgAAAAAAAAAEAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAwAAAAAAAAAAAAAAAgAAAAIAAAAAAAAAAAAAAAAAAAADAAAAAAAA' +
		'AAAAAAAAAAAAAAAAAAIAAAACAAAAAQAAAAECAwAAAAAA/////wAAAAA=',
	largeList:
		'/////6gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAEAAAA0P///wAAARUUAAAAIAAA' +
		'AAQAAAABAAAAKAAAAAYAAAB0b2tlbnMAAAQABAAEAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAECEAAAABwAAAAEAAAAAAAAAAQA' +
		'AABpdGVtAAAGAAgABAAGAAAACAAAAAAAAAD/////uAAAABQAAAAAAAAADAAWAAYABQAIAAwADAAAAAADBAAYAAAAIAAAAAAAAAAA' +
		'AAoAGAAMAAQACAAKAAAAXAAAABAAAAACAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGAAAAAAAAAAYAAAA' +
		'AAAAAAAAAAAAAAAAGAAAAAAAAAADAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAAAAAAAAAAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
		'AAIAAAAAAAAAAwAAAAAAAAABAgMAAAAAAP////8AAAAA',
	dictionary:
		'/////9gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAEAAAAtP///wQAAAABAAAAFAAAABAAGAAIAAYABwAMABAAFAAQAAAAAAAB' +
		'DBgAAABIAAAAJAAAAAQAAAABAAAATAAAAAYAAAB0b2tlbnMAAAgACAAAAAQACAAAAAwAAAAIAAwACAAHAAgAAAAAAAABCAAAAAQA' +
		'BAAEAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAECEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABAAGAAAACAAAAAAAAAD/' +
		'////yAAAABQAAAAAAAAADAAUAAYABQAIAAwADAAAAAACBAAUAAAAGAAAAAAAAAAIAAoAAAAEAAgAAAAQAAAAAAAKABgADAAEAAgA' +
		'CgAAAFwAAAAQAAAAAgAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAwAAAAAAAAAEAAAAAAAAAAAAAAAAAAA' +
		'ABAAAAAAAAAAAwAAAAAAAAAAAAAAAgAAAAIAAAAAAAAAAAAAAAAAAAADAAAAAAAAAAAAAAAAAAAAAAAAAAIAAAADAAAAAAAAAAEC' +
		'AwAAAAAA/////4gAAAAUAAAAAAAAAAwAFgAGAAUACAAMAAwAAAAAAwQAGAAAAAgAAAAAAAAAAAAKABgADAAEAAgACgAAADwAAAAQ' +
		'AAAAAgAAAAAAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIAAAAAAAAAAAAAAAEAAAACAAAAAAAAAAAAAAAAAAAA' +
		'AAEAAAAAAAD/////AAAAAA==',
} as const;

t.test('an Arrow file of tokens that cannot be used is a typed error that names it', async (t) => {
	const folder = temporaryFolder(t);
	const read = async (bytes: Uint8Array) => {
		const file = join(folder, 'tokens.arrow');
		writeFileSync(file, bytes);
		const rows: number[][] = [];
		for await (const ids of readTokenSequences(file, 10)) rows.push([...ids]);
		return rows;
	};
	const lists = (type: Int64 | Float64, rows: readonly (readonly unknown[])[]) => {
		const vector = vectorFromArray(rows as never, new List(new Field('item', type, true)) as never);
		return tableToIPC(tableFromArrays({ tokens: vector as never }), 'file');
	};
	const whole = lists(new Int64(), [[1n, 2n], [3n]]);
	t.same(await read(whole), [[1, 2], [3]]);
	const refused = (bytes: Uint8Array, message: RegExp) => t.rejects(read(bytes), { code: 'EHR_JEPA_DATA', message });
	for (const share of [0.3, 0.6, 0.9])
		await refused(whole.slice(0, Math.floor(whole.length * share)), /tokens\.arrow: .*cut off/);
	await refused(lists(new Float64(), [[1, 2]]), /column tokens must be a list of integers but found List<Float64>/);
	await refused(lists(new Int64(), [[1n, null]]), /tokens of row 0 must be a list of integers but found a null in it/);
	await refused(
		new TextEncoder().encode('ARROW1 nothing of the kind ARROW1'),
		/must be a whole, uncompressed Arrow file/,
	);

	const stream = tableToIPC(
		tableFromArrays({ tokens: vectorFromArray([[1n]], new List(new Field('item', new Int64(), true))) as never }),
		'stream',
	);
	t.same(await read(stream), [[1]]);
	// Without its last message a stream can be read to the end: only its mark tells that it was longer.
	for (const bytes of [5, stream.length - 8, stream.length - 1])
		await refused(stream.slice(0, bytes), /must end with the mark of an Arrow stream but found one that was cut off/);
	const ofPyarrow = (name: keyof typeof pyarrow) => Buffer.from(pyarrow[name], 'base64');
	const uncompressed = /but found a compressed one; write it again with .*compression='uncompressed'/;
	await refused(ofPyarrow('lz4'), uncompressed);
	await refused(ofPyarrow('zstd'), uncompressed);
	await refused(
		ofPyarrow('listView'),
		/but found a column of the type ListView; cast the column .* to list_\(int64\(\)\)/,
	);
	await refused(ofPyarrow('dictionary'), /must be a list of integers but found Dictionary<.*; cast the column/);
	t.same(await read(ofPyarrow('largeList')), [[1, 2], [3]]);
	await refused(Buffer.from('PAR1....PAR1'), /must be JSON lines or an Arrow file but found a parquet file; write it/);
	await refused(Buffer.from('FEA1....FEA1'), /but found a Feather file of version 1/);
	await refused(Buffer.alloc(0), /must hold at least one sequence of token ids but found none/);
	const marker = 'PATIENT MARKER';
	for (const line of [`{"note": "${marker}"}`, `"${marker}"`, marker, `[1, "${marker}"]`])
		await t.rejects(read(Buffer.from(line)), { code: 'EHR_JEPA_DATA', message: /^(?!.*PATIENT)/s }, line);
});
