import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const lib = fileURLToPath(new URL('../../../lib', import.meta.url));
/** Who may import whom: a room imports only from rooms before it (docs/adr/0001). */
const order = [
	'errors',
	'types',
	'package-version',
	'random',
	'config',
	'native',
	'files',
	'data',
	'cohort',
	'text',
	'tokenizer',
	'store',
	'prepare',
	'sample',
	'model',
	'objective',
	'train',
	'tasks',
	'evaluate',
	'export',
	'study',
	'report',
	'pipeline',
	'cli',
];

function files(): string[] {
	return readdirSync(lib, { recursive: true })
		.map(String)
		.filter((name) => name.endsWith('.ts'));
}
const roomOf = (path: string) => path.split('/')[0]!.replace(/\.ts$/, '');

t.test('rooms import only from rooms before them', async (t) => {
	for (const file of files()) {
		if (file === 'index.ts') continue;
		const room = roomOf(file);
		t.ok(order.includes(room), `${file} is in a known room`);
		const source = readFileSync(join(lib, file), 'utf8');
		for (const [, target] of source.matchAll(/from '(\.[^']+)'/g)) {
			const imported = roomOf(relative(lib, resolve(lib, dirname(file), target!)).replace(/\.js$/, '.ts'));
			t.ok(order.indexOf(imported) <= order.indexOf(room), `${file} may import ${imported}`);
		}
	}
});

t.test('only lib/native.ts names the addon', async (t) => {
	for (const file of files()) {
		if (file === 'native.ts') continue;
		t.notMatch(readFileSync(join(lib, file), 'utf8'), /ehr_jepa\.node|createRequire/, file);
	}
});
