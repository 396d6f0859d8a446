import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const lib = fileURLToPath(new URL('../../../lib', import.meta.url));
/** Who may import whom: a room imports only from rooms before it (docs/adr/0001). */
const order = [
	'errors',
	'found',
	'types',
	'package-version',
	'random',
	'config',
	'native-probes',
	'native',
	'threads',
	'files',
	'ranks',
	'data',
	'cohort',
	'text',
	'tokenizer',
	'store',
	'prepare',
	'sample',
	'objective',
	'model',
	'train',
	'tasks',
	'evaluate',
	'export',
	'pipeline',
	'study',
	'doctor',
	'report',
	'view',
	'cli',
];

function files(): string[] {
	return readdirSync(lib, { recursive: true })
		.map(String)
		.filter((name) => name.endsWith('.ts'));
}
const roomOf = (path: string) => path.split('/')[0]!.replace(/\.ts$/, '');

/** Files of `lib/` that a file names in an import or a re-export; types count. */
function importsOf(file: string): string[] {
	const source = readFileSync(join(lib, file), 'utf8');
	return [...source.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, target]) =>
		relative(lib, resolve(lib, dirname(file), target!)).replace(/\.js$/, '.ts'),
	);
}

/** The first circle met on a walk along the imports, as a list of files that begins and ends with the same one. */
function firstCircle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
	const done = new Set<string>();
	const walk = (file: string, path: readonly string[]): string[] | undefined => {
		if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
		if (done.has(file)) return undefined;
		for (const next of graph.get(file) ?? []) {
			const circle = walk(next, [...path, file]);
			if (circle !== undefined) return circle;
		}
		done.add(file);
		return undefined;
	};
	for (const file of graph.keys()) {
		const circle = walk(file, []);
		if (circle !== undefined) return circle;
	}
	return undefined;
}

t.test('rooms import only from rooms before them', async (t) => {
	for (const file of files()) {
		if (file === 'index.ts') continue;
		const room = roomOf(file);
		t.ok(order.includes(room), `${file} is in a known room`);
		for (const imported of importsOf(file).map(roomOf)) {
			t.ok(order.indexOf(imported) <= order.indexOf(room), `${file} may import ${imported}`);
		}
	}
});

t.test('no file imports itself, by whatever way round', async (t) => {
	t.same(firstCircle(new Map(files().map((file) => [file, importsOf(file)]))), undefined);
	const circle = new Map([
		['a.ts', ['b.ts']],
		['b.ts', ['c.ts']],
		['c.ts', ['b.ts']],
	]);
	t.same(firstCircle(circle), ['b.ts', 'c.ts', 'b.ts'], 'the walk finds one that is there');
});

t.test('only lib/native.ts names the addon', async (t) => {
	for (const file of files()) {
		if (file === 'native.ts') continue;
		const source = readFileSync(join(lib, file), 'utf8');
		t.notMatch(source, /ehr_jepa\.node/, file);
		// DuckDB is loaded late, by its name.
		if (file !== 'files/duckdb.ts') t.notMatch(source, /createRequire/, file);
	}
});

t.test('the command line loads a command when it is named: all of them together take a second', (t) => {
	const loaded = new Set<string>();
	const walk = (file: string) => {
		if (loaded.has(file)) return;
		loaded.add(file);
		const source = readFileSync(join(lib, file), 'utf8');
		for (const [, target] of source.matchAll(/^(?:import|export) (?!type)[^;]*?from '(\.[^']+)'/gm))
			walk(relative(lib, resolve(lib, dirname(file), target!)).replace(/\.js$/, '.ts'));
	};
	walk('cli/main.ts');
	t.ok(loaded.has('cli/commands.ts') && loaded.has('errors.ts'), 'imports are found');
	const commands = [...loaded].filter((file) => file.startsWith('cli/commands/'));
	t.same(commands, ['cli/commands/launch.ts'], 'but the one that is small, and asked about every call');
	t.end();
});

t.test('DuckDB, YAML and the writer of parquet are loaded when they are needed, half a second together', (t) => {
	const late = /^import (?!type)[^;]*? from '(@duckdb\/[\w-]+|yaml|hyparquet-writer)'/gm;
	const offenders = files().filter((file) => late.test(readFileSync(join(lib, file), 'utf8')));
	t.same(offenders, []);
	t.match("import { DuckDBInstance } from '@duckdb/node-api'", late, 'the rule finds what it looks for');
	t.end();
});
