/** Walks the includes of native/ and bindings/: which room may include which, and no file that includes itself by way of others. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const native = join(root, 'native');

/**
 * What a room may include beside itself, from the lowest room to the highest: every name on the right stands further up.
 * A room that is missing here fails the test.
 */
const mayInclude: Readonly<Record<string, readonly string[]>> = {
	core: [],
	contract: [],
	memory: ['core', 'contract'],
	io: ['core', 'contract', 'memory'],
	solve: ['core'],
	ops: ['core', 'memory'],
	model: ['core', 'contract', 'memory', 'io', 'ops'],
	objective: ['core', 'contract', 'memory', 'ops'],
	distributed: ['core', 'contract', 'memory'],
	train: ['core', 'contract', 'memory', 'io', 'ops', 'model', 'objective', 'distributed'],
	infer: ['core', 'contract', 'memory', 'ops', 'model'],
	doctor: ['core', 'contract', 'memory', 'ops'],
	api: [
		'core',
		'contract',
		'memory',
		'io',
		'solve',
		'ops',
		'model',
		'objective',
		'train',
		'infer',
		'doctor',
		'distributed',
	],
};
/** Rooms that must compile without libtorch: the addon reads them, or they are beneath everything. */
const withoutTensors = new Set(['core', 'contract']);
const tensorHeader = /^(ATen|c10|caffe2|torch)\//;
const nodeHeader = /^(napi\.h|node_api|js_native_api|node\.h|v8|uv\.h)/;

interface Source {
	/** From the project's root. */
	readonly path: string;
	readonly quoted: readonly string[];
	readonly angled: readonly string[];
}

function sourcesIn(folder: string): Source[] {
	return readdirSync(join(root, folder), { recursive: true })
		.map((name) => join(folder, String(name)))
		.filter((path) => /\.(h|cpp|cu)$/.test(path))
		.map((path) => {
			const text = readFileSync(join(root, path), 'utf8');
			const included = (form: RegExp) => [...text.matchAll(form)].map(([, name]) => name!);
			return {
				path,
				quoted: included(/^[ \t]*#[ \t]*include[ \t]+"([^"]+)"/gm),
				angled: included(/^[ \t]*#[ \t]*include[ \t]+<([^>]+)>/gm),
			};
		});
}
const roomOf = (path: string) => relative('native', path).split('/')[0]!;
const sources = sourcesIn('native').filter(({ path }) => dirname(path) !== 'native');

t.test('the list of rooms runs upwards', async (t) => {
	const rooms = Object.keys(mayInclude);
	for (const [room, lower] of Object.entries(mayInclude)) {
		for (const other of lower)
			t.ok(rooms.indexOf(other) < rooms.indexOf(room) && rooms.includes(other), `${other} lies below ${room}`);
	}
});

t.test('rooms of native/ include only rooms that they may', async (t) => {
	t.ok(sources.length > 40, `${sources.length} files are read`);
	for (const { path, quoted } of sources) {
		const allowed = mayInclude[roomOf(path)];
		t.ok(allowed, `${path} is in a known room`);
		for (const name of quoted) {
			t.ok(existsSync(join(native, name)), `${path}: "${name}" is named from native/`);
			const room = roomOf(join('native', name));
			t.ok(room === roomOf(path) || allowed?.includes(room), `${path} may include ${name}`);
		}
	}
});

t.test('no file includes itself by way of others', async (t) => {
	const includes = new Map(sources.map(({ path, quoted }) => [path, quoted.map((name) => join('native', name))]));
	const done = new Set<string>();
	const cycles: string[] = [];
	const walk = (path: string, above: readonly string[]) => {
		if (above.includes(path)) cycles.push([...above.slice(above.indexOf(path)), path].join(' -> '));
		if (done.has(path) || above.includes(path)) return;
		for (const next of includes.get(path) ?? []) walk(next, [...above, path]);
		done.add(path);
	};
	for (const path of includes.keys()) walk(path, []);
	t.strictSame(cycles, []);
});

t.test('core and contract know no tensor, kernels no libtorch, native no Node, bindings no tensor', async (t) => {
	for (const { path, angled } of sources) {
		const plain = withoutTensors.has(roomOf(path)) || /\/kernel\.(h|cu)$/.test(path);
		if (plain)
			t.strictSame(
				angled.filter((name) => tensorHeader.test(name)),
				[],
				`${path} includes no tensor header`,
			);
		t.strictSame(
			angled.filter((name) => nodeHeader.test(name)),
			[],
			`${path} includes no header of Node`,
		);
	}
	const bindings = sourcesIn('bindings');
	t.ok(bindings.length > 0);
	for (const { path, quoted, angled } of bindings) {
		t.strictSame(
			angled.filter((name) => tensorHeader.test(name)),
			[],
			`${path} includes no tensor header`,
		);
		for (const name of quoted) {
			const places = ['bindings', 'native/api', 'native/contract', 'native'].map((folder) => join(folder, name));
			const found = places.find((place) => existsSync(join(root, place)));
			t.ok(found && /^(bindings|native\/(api|contract))\//.test(found), `${path} may include ${name}`);
		}
	}
});
