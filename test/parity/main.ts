/** `npm run parity -- DIR [DIR ...]`: compares this package with fixtures of scripts/parity/make_fixture.py. */
import { compareWithFixture, summarise } from './compare.js';

const directories = process.argv.slice(2);
if (directories.length === 0) {
	console.error(
		'usage: npm run parity -- DIR [DIR ...]\nA fixture is made by: python3 scripts/parity/make_fixture.py DIR',
	);
	process.exitCode = 2;
}
for (const directory of directories) {
	const rows = await compareWithFixture(directory);
	console.log(`${directory}\n${summarise(rows)}`);
	if (rows.some(({ error, limit }) => error > limit)) process.exitCode = 1;
}
