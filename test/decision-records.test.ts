import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..', '..');
const folder = join(root, 'docs', 'adr');
const records = readdirSync(folder)
	.filter((name) => name.endsWith('.md'))
	.sort();

t.test('decision records are numbered from 1, each once, and begin with their number', async (t) => {
	for (const [i, name] of records.entries()) {
		const number = String(i + 1).padStart(4, '0');
		t.ok(name.startsWith(`${number}-`), `${name} has number ${number}`);
		t.match(readFileSync(join(folder, name), 'utf8'), new RegExp(`^# ${number}: `), `${name} begins with it`);
	}
});

t.test('every decision record that a text names is there', async (t) => {
	const named = /adr\/(\d{4})([-a-z0-9]*\.md)?/g;
	const texts = ['docs', 'lib', 'native', 'bindings', 'bench', 'scripts', 'test', '.'].flatMap((place) =>
		readdirSync(join(root, place), { recursive: place !== '.', encoding: 'utf8' })
			.filter((name) => /\.(md|ts|mjs|h|cpp|cu|py|sh|txt)$/.test(name))
			.map((name) => join(place, name)),
	);
	let found = 0;
	for (const file of texts) {
		for (const [whole, number, rest] of readFileSync(join(root, file), 'utf8').matchAll(named)) {
			const names = records.filter((name) => name.startsWith(`${number}${rest ?? '-'}`));
			if (names.length !== 1) t.fail(`${file} names ${whole}, which is not there`);
			found++;
		}
	}
	t.ok(found > records.length / 2, `${found} references`);
});
