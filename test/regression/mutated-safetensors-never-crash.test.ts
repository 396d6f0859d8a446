/** 2,000 damaged weight files, from one seed: each is loaded or refused with an error of ours; the process lives on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EhrJepaError, WorldModel } from '../../lib/index.js';
import { RandomStream } from '../../lib/random.js';
import { parityFixture } from '../fixtures/checkpoint-variant.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const original = readFileSync(join(parityFixture('gqa-tied'), 'model.safetensors'));
const header = 8 + Number(original.readBigUInt64LE());
const file = join(folder, 'model.safetensors');

/** One to four changes: a byte, a digit, a cut, a doubled piece; most of them in the header. */
function mutated(random: RandomStream): Buffer {
	let bytes = Buffer.from(original);
	for (let change = random.integer(4); change >= 0; change--) {
		const place = random.integer(random.integer(5) === 0 ? bytes.length : Math.min(header, bytes.length));
		switch (random.integer(5)) {
			case 0:
				bytes[place] = random.integer(256);
				break;
			case 1:
				bytes[place] = 48 + random.integer(10);
				break;
			case 2:
				bytes = bytes.subarray(0, Math.max(1, place));
				break;
			case 3:
				bytes = Buffer.concat([bytes.subarray(0, place), bytes.subarray(Math.max(0, place - 9))]);
				break;
			default:
				bytes = Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + 1 + random.integer(9))]);
		}
		if (bytes.length === 0) bytes = Buffer.alloc(1);
	}
	return bytes;
}

t.test('2,000 mutations', async (t) => {
	const model = await WorldModel.fromPretrained(parityFixture('gqa-tied'));
	t.teardown(() => model.close());
	let refused = 0;
	for (let i = 0; i < 2000; i++) {
		writeFileSync(file, mutated(new RandomStream(1, 'mask', i)));
		try {
			await model.load('encoder', file);
		} catch (error) {
			if (!(error instanceof EhrJepaError)) {
				t.fail(`mutation ${i}: ${error}`);
				return;
			}
			refused++;
		}
	}
	t.ok(refused > 1500 && refused < 2000, `${refused} were refused`);
	await model.load('encoder', join(parityFixture('gqa-tied'), 'model.safetensors'));
});
