import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from './fixtures/temporary-folder.js';

const root = new URL('../../', import.meta.url);

t.test('the example of the README runs as it stands', async (t) => {
	const readme = readFileSync(new URL('README.md', root), 'utf8');
	const example = /```ts\n(.*?)```/s.exec(readme)?.[1];
	t.ok(example !== undefined && example.trim().split('\n').length >= 15, 'there is one');
	const folder = temporaryFolder(t);
	const entry = new URL('dist/lib/index.js', root).href;
	writeFileSync(join(folder, 'example.mjs'), example!.replaceAll("'ehr-jepa'", `'${entry}'`));
	const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'example.mjs')], {
		cwd: folder,
		encoding: 'utf8',
		timeout: 120_000,
	});
	t.equal(status, 0, stderr.slice(-800));
	t.equal(
		stdout.split('\n').filter((line) => /^\d+ \d+\.\d+ \d+\.\d+$/.test(line)).length,
		10,
		'ten steps were printed',
	);
});

t.test('every file the README points to is there', async (t) => {
	const readme = readFileSync(new URL('README.md', root), 'utf8');
	for (const [, target] of readme.matchAll(/\]\((?!http)([^)]+)\)/g)) {
		t.ok(existsSync(fileURLToPath(new URL(target!, root))), target!);
	}
});
