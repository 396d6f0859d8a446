import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CheckpointError } from '../../../lib/index.js';
import { readSafetensorsHeader } from '../../../lib/model/safetensors.js';
import fc from '../../fixtures/property.js';
import { headerOf, type RawTensor, writeRaw, writeSafetensors } from '../../fixtures/safetensors-file.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const file = join(folder, 'x.safetensors');
const tensor = (name: string, shape: number[], dtype = 'F32'): RawTensor => {
	const width = { F32: 4, F16: 2, BF16: 2 }[dtype] ?? 8;
	return { name, dtype, shape, bytes: new Uint8Array(shape.reduce((a, b) => a * b, width)) };
};

t.test('what was written is read, whatever the names, shapes and dtypes', async (t) => {
	const dtypes = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;
	const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 });
	const tensors = fc.uniqueArray(
		fc.record({
			name: fc.string({ minLength: 1 }).filter((name) => name !== '__metadata__' && name !== '__proto__'),
			shape: shapes,
			dtype: fc.constantFrom('F32', 'F16', 'BF16'),
		}),
		{ selector: ({ name }) => name, maxLength: 6 },
	);
	await fc.assert(
		fc.asyncProperty(tensors, async (list) => {
			const raw = list.map(({ name, shape, dtype }) => tensor(name, shape, dtype));
			writeSafetensors(file, raw);
			const { entries } = await readSafetensorsHeader(file);
			const found = new Map(entries.map((entry) => [entry.name, entry]));
			for (const { name, shape, dtype, bytes } of raw) {
				const entry = found.get(name)!;
				if (
					entry.dtype !== dtypes[dtype as keyof typeof dtypes] ||
					entry.shape.join() !== shape.join() ||
					entry.end - entry.begin !== bytes.length
				)
					return false;
			}
			return found.size === raw.length;
		}),
		{ numRuns: 100 },
	);
	t.pass('100 random files');
});

t.test('random bytes and cut files give a typed error, never another', async (t) => {
	writeSafetensors(file, [tensor('a', [3, 4]), tensor('b', [2], 'BF16')]);
	await fc.assert(
		fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
			writeFileSync(file, bytes);
			return readSafetensorsHeader(file).then(
				() => false,
				(error) => error instanceof CheckpointError,
			);
		}),
		{ numRuns: 200 },
	);
	for (let size = 0; size < 160; size += 7) {
		writeSafetensors(file, [tensor('a', [3, 4]), tensor('b', [2], 'BF16')]);
		truncateSync(file, size);
		await t.rejects(readSafetensorsHeader(file), CheckpointError, `cut to ${size} bytes`);
	}
});

t.test('each rule of the format has an error that names tensor, rule and value', async (t) => {
	const a = tensor('a', [2, 2]);
	const b = tensor('b', [3]);
	const data = Buffer.concat([a.bytes, b.bytes]);
	const good = headerOf([a, b]);
	const refused = async (message: RegExp, header: object | string, bytes: Uint8Array = data) => {
		writeRaw(file, header, bytes);
		await t.rejects(readSafetensorsHeader(file), { code: 'EHR_JEPA_CHECKPOINT', message });
	};
	const with_ = (name: string, change: object) => ({ ...good, [name]: { ...good[name], ...change } });
	await refused(/tensor b must begin at byte \d+ \(no holes, no overlap\)/, with_('b', { data_offsets: [12, 24] }));
	await refused(
		/tensor b must begin at byte/,
		with_('b', { data_offsets: [20, 32] }),
		Buffer.concat([data, Buffer.alloc(4)]),
	);
	await refused(/tensor a of shape \[2, 3\] must span 24 bytes but spans 16/, with_('a', { shape: [2, 3] }));
	await refused(/must span whole bytes, fewer than 2\^50/, with_('a', { shape: [2 ** 30, 2 ** 30] }));
	await refused(/header entry a.shape.0/, with_('a', { shape: [-1, 2] }));
	await refused(/header entry a.shape.0/, with_('a', { shape: [1.5] }));
	await refused(/header entry a.data_offsets.0/, with_('a', { data_offsets: [-16, 0] }));
	await refused(/tensor a must be F32, F16 or BF16 but is I32/, with_('a', { dtype: 'I32' }));
	await refused(/header entry a/, with_('a', { surprise: 1 }));
	await refused(/must end at byte \d+ but has \d+ bytes/, good, Buffer.concat([data, Buffer.alloc(1)]));
	await refused(/must end at byte \d+ but has \d+ bytes; the file may be truncated/, good, data.subarray(0, 20));
	await refused(
		/header must name every key once but names "a" twice/,
		`{"a":${JSON.stringify(good.a)},"a":${JSON.stringify(good.a)}}`,
		a.bytes,
	);
	await refused(
		/names "dtype" twice/,
		`{"a":{"dtype":"F32","dtype":"F16","shape":[2,2],"data_offsets":[0,16]}}`,
		a.bytes,
	);
	await refused(/header must be JSON/, '{"a":');
	await refused(/header must be an object of tensors but is a list/, '[1]');
	await refused(/__metadata__ must map text to text/, { __metadata__: { x: 1 }, ...good });
	writeFileSync(file, Buffer.concat([Buffer.from([255, 255, 255, 255, 255, 255, 255, 127]), data]));
	await t.rejects(readSafetensorsHeader(file), { message: /header length must fit the file/ });
	await t.rejects(readSafetensorsHeader(join(folder, 'none')), {
		message: /cannot be read \(nothing with that name\)/,
	});
});

t.test('a key may occur in two objects, and in text', async (t) => {
	const a = { ...tensor('say \\"a\\": {', [1]) };
	writeSafetensors(file, [a, tensor('shape', [1]), tensor('dtype', [1])]);
	t.equal((await readSafetensorsHeader(file)).entries.length, 3);
});
