/** What is given in place of a file of token ids is called by its name, with the way to one that is read. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { readTokenSequences } from '../../lib/evaluate/token-sequences.js';
import { readJson } from '../../lib/files/json.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const lines = '[1, 2, 3]\n[4, 5]\n';

async function read(name: string, content: string | Buffer): Promise<number[][]> {
	const file = join(folder, name);
	writeFileSync(file, content);
	const found: number[][] = [];
	for await (const ids of readTokenSequences(file, 9)) found.push([...ids]);
	return found;
}

t.test('compressed files, archives, arrays, other encodings', async (t) => {
	const tar = Buffer.alloc(1024);
	tar.write('ustar', 257);
	const starting = (...bytes: number[]) => Buffer.concat([Buffer.from(bytes), Buffer.from(lines)]);
	const files: Record<string, readonly [Buffer, RegExp]> = {
		'gz of pandas': [gzipSync(lines), /found one that is compressed with gzip; decompress it first/],
		zst: [starting(0x28, 0xb5, 0x2f, 0xfd), /compressed with zstd; decompress/],
		lz4: [starting(0x04, 0x22, 0x4d, 0x18), /compressed with lz4; decompress/],
		xz: [starting(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), /compressed with xz; decompress/],
		bz2: [Buffer.from('BZh91AY&SY'), /compressed with bzip2; decompress/],
		zip: [starting(0x50, 0x4b, 3, 4), /found a zip archive \(\.zip, \.npz\); take the file out of it/],
		tar: [tar, /found a tar archive; take the file out of it/],
		npy: [Buffer.concat([Buffer.from([0x93]), Buffer.from('NUMPY')]), /found an array of NumPy; write each sequence/],
		pickle: [starting(0x80, 5), /found a pickle of Python; write each sequence as a line \[1, 2, 3\]/],
		'utf-16': [Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(lines, 'utf16le')]), /UTF-16; write it in UTF-8/],
		parquet: [Buffer.from('PAR1....PAR1'), /found a parquet file; write it with pyarrow/],
		csv: [
			Buffer.from('tokens\n"[1, 2]"\n'),
			/line 1 must be JSON but found it is not JSON; write each sequence as a line/,
		],
	};
	for (const [name, [content, message]] of Object.entries(files))
		await t.rejects(read(name, content), { code: 'EHR_JEPA_DATA', message }, name);
	t.same(await read('plain', lines), [
		[1, 2, 3],
		[4, 5],
	]);
	t.same(await read('with a mark', `\ufeff${lines}`), [
		[1, 2, 3],
		[4, 5],
	]);
	t.same(await read('short', '[1]'), [[1]], 'shorter than any mark');
});

t.test('numbers that JSON lacks and keys that are there twice are named', async (t) => {
	await t.rejects(read('nan', '[1, NaN]'), { message: /it holds NaN, which is no number of JSON/ });
	await t.rejects(read('infinity', '[1]\n[-Infinity]'), { message: /line 2 .* it holds -Infinity/ });
	await t.rejects(read('twice', '{"tokens": [1], "tokens": [2]}'), { message: /line 1 must name every key once/ });
	const file = join(folder, 'config.json');
	for (const [text, message] of [
		['{"steps": 5, "steps": 500}', /must name every key once but found "steps" is there twice/],
		['{"optimizer": {"learningRate": NaN}}', /it holds NaN, which is no number of JSON/],
		['{"a": "NaN", b}', /it is not JSON/],
	] as const) {
		writeFileSync(file, text);
		await t.rejects(readJson(file, { scope: 'x' }), { code: 'EHR_JEPA_DATA', message });
	}
	writeFileSync(file, '{"a": {"x": 1}, "b": {"x": "NaN"}}');
	t.same(await readJson(file, { scope: 'x' }), { a: { x: 1 }, b: { x: 'NaN' } });
});
