/** `npm run parity -- DIR [DIR ...]`: compares this package with fixtures of scripts/parity/make_fixture.py. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { compareWithFixture, summarise } from './compare.js';

const directories = process.argv.slice(2);
if (directories.length === 0) {
	console.error(
		'usage: npm run parity -- DIR [DIR ...]\nA fixture is made by: python3 scripts/parity/make_fixture.py DIR',
	);
	process.exitCode = 2;
}
for (const directory of directories) {
	if (!existsSync(join(directory, 'inputs.json'))) {
		console.error(
			`[parity] ${directory} must be a fixture but holds no inputs.json; make one with: python3 scripts/parity/make_fixture.py ${directory}`,
		);
		process.exitCode = 3;
		continue;
	}
	const rows = await compareWithFixture(directory);
	console.log(`${directory}\n${summarise(rows)}`);
	if (rows.some(({ error, limit }) => error > limit)) process.exitCode = 1;
}
