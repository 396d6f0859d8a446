/** Native code makes no tensor without saying where, and names every place at which the host reads a number of one. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Probe solvers take arrays of the host and give arrays back. */
const onHostAlone = /^(solve\/|api\/probes\.cpp$)/;
const factory =
	/\bat::(arange|empty|empty_strided|eye|from_blob|full|linspace|logspace|ones|rand|randint|randn|randperm|range|scalar_tensor|tensor|zeros)\s*\(/g;
/** Options of another tensor, the host on purpose, a named device, or the device of tensors without memory. */
const place = /\bdevice\b|\.options\(\)|\boptions\b|\bon_host\(|\bmeta\b/;

/** Where the host reads a number that may lie on a device, and why it may. */
const readers: Readonly<Record<string, string>> = {
	'distributed/group.cpp': 'numbers of rows and letters, which ranks exchange on the host',
	'doctor/op_checks.cpp': 'errors, which are worked out on the host',
	'io/safetensors.cpp': 'values that were copied to the host, to be written',
	'objective/collapse/monitors.cpp': 'numbers that came to the host with all others of the step',
	'objective/collapse/spread.cpp': 'eigenvalues of a matrix that came with them',
	'ops/adamw/cpu.cpp': 'a kernel of the CPU',
	'ops/linear_cross_entropy/cpu.cpp': 'a kernel of the CPU',
	'train/loss_numbers.cpp': 'the one reading of a step',
	'train/optimizer.cpp': 'step counts, which the host keeps',
	'train/update_gradients.cpp': 'which parameters the other ranks reached, on the host',
	'train/update_in_backward.cpp': 'a step that has failed',
};

const sources = readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
	.filter((path) => /\.(h|cpp)$/.test(path) && !onHostAlone.test(path))
	.map((path) => ({ path, text: readFileSync(join(root, 'native', path), 'utf8').replaceAll(/\/\/.*$/gm, '') }));

/** What stands between the bracket at `open` and its partner. */
function argumentsAt(text: string, open: number): string {
	let depth = 0;
	for (let i = open; i < text.length; i++) {
		if (text[i] === '(') depth++;
		if (text[i] === ')' && --depth === 0) return text.slice(open, i);
	}
	return text.slice(open);
}

function placeless(text: string): string[] {
	return [...text.matchAll(factory)].flatMap(({ index, 0: call }) => {
		const given = argumentsAt(text, index + call.length - 1);
		return place.test(given) ? [] : [`${call}${given.slice(1)})`];
	});
}

t.test('the check tells a tensor that is made anywhere from one whose place is said', async (t) => {
	t.strictSame(placeless('at::zeros({n, f(2)}, at::kFloat)'), ['at::zeros({n, f(2)}, at::kFloat)']);
	t.strictSame(placeless('at::empty({n}); at::tensor(v, at::TensorOptions().dtype(at::kInt));').length, 2);
	t.strictSame(placeless('at::zeros({}, x.options().dtype(at::kLong)) + at::ones(s, memory::on_host(at::kInt))'), []);
});

t.test('every tensor is made where somebody said', async (t) => {
	t.ok(sources.length > 80, `${sources.length} files are read`);
	for (const { path, text } of sources) t.strictSame(placeless(text), [], path);
});

t.test('the host reads numbers of tensors at the places that are listed', async (t) => {
	const found = sources.filter(({ text }) => /\.(template )?item(<|\()/.test(text)).map(({ path }) => path);
	t.strictSame(found.toSorted(), Object.keys(readers).toSorted());
});
