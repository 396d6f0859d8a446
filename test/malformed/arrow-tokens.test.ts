import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Field, Float64, Int64, List, tableFromArrays, tableToIPC, vectorFromArray } from 'apache-arrow';
import t from 'tap';
import { readTokenSequences } from '../../lib/evaluate/token-sequences.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

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
});
