import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { compareWithFixture } from './compare.js';

const fixtures = fileURLToPath(new URL('../../../test/fixtures/parity', import.meta.url));

for (const name of readdirSync(fixtures).sort()) {
	t.test(
		`${name}: packed sequences give what transformers gives for each alone, and three AdamW steps follow it`,
		async (t) => {
			for (const { dtype, tensor, error, limit } of await compareWithFixture(join(fixtures, name))) {
				t.ok(error <= limit, `${dtype} ${tensor}: ${error.toExponential(2)} of ${limit.toExponential(2)}`);
			}
		},
	);
}
