import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));
const text = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');

t.test('what CONTRIBUTING.md tells to open is there', async (t) => {
	const table = text.slice(text.indexOf('| I want to'));
	const rows = table.slice(0, table.indexOf('\n\n')).split('\n');
	const paths = rows.flatMap((row) => {
		let folder = '';
		return [...row.matchAll(/`([\w./-]+[/.][\w./-]*)`|(docs\/[\w.-]+)/g)].map(([, quoted, plain]) => {
			const path = quoted ?? plain!;
			// A name alone lies beside the one before it.
			if (!path.includes('/')) return join(folder, path);
			folder = dirname(path);
			return path;
		});
	});
	t.ok(paths.length > 15);
	for (const path of paths) t.ok(existsSync(join(root, path)), path);
});

t.test('the drawing has every room of lib/ and native/', async (t) => {
	const drawing = /```\n(lib\/[\s\S]*?)```/.exec(text)![1]!;
	const [lib, native] = drawing.split(/^native\/ /m) as [string, string];
	for (const [folder, drawn] of [
		['lib', lib],
		['native', native],
	] as const) {
		const rooms = readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory());
		for (const { name } of rooms) t.match(drawn, new RegExp(`\\b${name}\\b`), `${folder}/${name}`);
	}
});
