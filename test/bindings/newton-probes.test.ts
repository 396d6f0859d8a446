/**
 * Multinomial, Cox and discrete-time hazard probes against scikit-learn and lifelines on the same features
 * (scripts/parity/make_probe_golden.py), and what must hold of any data.
 */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { NativeError } from '../../lib/errors.js';
import { nativeAddon, nativeCall } from '../../lib/native.js';
import { RandomStream } from '../../lib/random.js';
import fc from '../fixtures/property.js';

type Fits = readonly { readonly l2: number; readonly weights: readonly number[] }[];
interface Problem {
	readonly features: readonly number[];
	readonly rows: number;
	readonly columns: number;
	readonly weights: readonly number[];
	readonly fits: Fits;
}
interface Golden {
	readonly multinomial: readonly (Problem & { readonly labels: readonly number[]; readonly classes: number })[];
	readonly cox: readonly (Problem & { readonly times: readonly number[]; readonly events: readonly number[] })[];
	readonly hazard: readonly (Problem & {
		readonly atRisk: readonly number[];
		readonly events: readonly number[];
		readonly periods: number;
	})[];
}
const golden = JSON.parse(
	readFileSync(new URL('../../../test/fixtures/probes/golden.json', import.meta.url), 'utf8'),
) as Golden;

const common = ({ features, rows, columns, weights, fits }: Problem) => ({
	features: Float32Array.from(features),
	rows,
	columns,
	weights: Float64Array.from(weights),
	l2: Float64Array.from(fits, ({ l2 }) => l2),
});

const limit = 1e-5;

/** Solutions are those of the other package, coefficient by coefficient. */
function same(t: Test, { weights, converged }: Solved, fits: Fits): void {
	const width = weights.length / fits.length;
	for (const [i, fit] of fits.entries()) {
		t.equal(converged[i], 1);
		t.equal(fit.weights.length, width);
		const worst = Math.max(...fit.weights.map((weight, j) => Math.abs(weight - weights[i * width + j]!)));
		t.ok(worst < limit, `l2 ${fit.l2}: coefficients differ by ${worst}`);
	}
}
type Solved = { readonly weights: Float64Array; readonly converged: Uint8Array };

t.test('multinomial logistic regression is that of scikit-learn, weighted or not', async (t) => {
	for (const problem of golden.multinomial) {
		const options = { ...common(problem), labels: Int32Array.from(problem.labels), classes: problem.classes };
		same(t, await nativeAddon().fitMultinomial(options), problem.fits);
	}
});

t.test("Cox regression is that of lifelines: Efron's ties, with and without a penalty, weighted or not", async (t) => {
	for (const problem of golden.cox) {
		const options = {
			...common(problem),
			times: Float64Array.from(problem.times),
			events: Uint8Array.from(problem.events),
		};
		same(t, await nativeAddon().fitCox(options), problem.fits);
	}
});

t.test('discrete-time hazards are a logistic regression of rows of persons and periods', async (t) => {
	for (const problem of golden.hazard) {
		const options = {
			...common(problem),
			atRisk: Int32Array.from(problem.atRisk),
			events: Uint8Array.from(problem.events),
			periods: problem.periods,
		};
		same(t, await nativeAddon().fitHazard(options), problem.fits);
	}
});

/** Rows of some data of any seed: few distinct times, classes and features, so that much is tied. */
function anyRows(seed: number, rows: number) {
	const random = new RandomStream(seed, 'probe');
	const columns = 3;
	return {
		rows,
		columns,
		features: Float32Array.from({ length: rows * columns }, () => Math.round(random.normal() * 4) / 4),
		times: Float64Array.from({ length: rows }, () => random.integer(6)),
		events: Uint8Array.from({ length: rows }, (_, i) => (i === 0 ? 1 : random.integer(2))),
		labels: Int32Array.from({ length: rows }, (_, i) => (i < 3 ? i : random.integer(3))),
		atRisk: Int32Array.from({ length: rows }, (_, i) => (i < 4 ? 1 + (i >> 1) : 1 + random.integer(2))),
		periodEvents: Uint8Array.from({ length: rows }, (_, i) => (i < 4 ? i & 1 : random.integer(2))),
	};
}
type Rows = ReturnType<typeof anyRows>;

/** The three solutions at one penalty. */
async function solved(data: Rows, weights = new Float64Array(), l2 = 0.03) {
	const { features, rows, columns, times, events, labels, atRisk, periodEvents } = data;
	const shared = { features, rows, columns, weights, l2: Float64Array.of(l2) };
	const addon = nativeAddon();
	const fits = [
		await addon.fitMultinomial({ ...shared, labels, classes: 3 }),
		await addon.fitCox({ ...shared, times, events }),
		await addon.fitHazard({ ...shared, atRisk, events: periodEvents, periods: 2 }),
	];
	return fits.flatMap(({ weights: found, converged }) => [...found, ...converged]);
}

/** The rows at some places, in that order. */
function placed(data: Rows, places: readonly number[]): Rows {
	const at = <T extends { readonly [i: number]: number }>(array: T) => places.map((place) => array[place]!);
	return {
		...data,
		rows: places.length,
		features: Float32Array.from(
			places.flatMap((place) => [...data.features.subarray(place * data.columns, (place + 1) * data.columns)]),
		),
		times: Float64Array.from(at(data.times)),
		events: Uint8Array.from(at(data.events)),
		labels: Int32Array.from(at(data.labels)),
		atRisk: Int32Array.from(at(data.atRisk)),
		periodEvents: Uint8Array.from(at(data.periodEvents)),
	};
}

const close = (a: readonly number[], b: readonly number[]) =>
	a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) < 1e-7);

t.test('the order of rows, and rows of weight 0, change nothing', async (t) => {
	await t.resolves(
		fc.assert(
			fc.asyncProperty(fc.nat(1e6), fc.integer({ min: 6, max: 30 }), async (seed, rows) => {
				const data = anyRows(seed, rows);
				const found = await solved(data);
				const random = new RandomStream(seed, 'bootstrap');
				const places = Array.from({ length: rows }, (_, i) => ({ i, key: random.uniform() }))
					.sort((a, b) => a.key - b.key)
					.map(({ i }) => i);
				if (!close(found, await solved(placed(data, places)))) return false;
				const more = placed(data, [...places, ...places.slice(0, 3)]);
				const weights = Float64Array.from({ length: more.rows }, (_, i) => (i < rows ? 2 : 0));
				return close(found, await solved(more, weights));
			}),
			{ numRuns: 25 },
		),
	);
});

t.test('data that a line separates has a finite solution with a penalty', async (t) => {
	const data = anyRows(1, 24);
	for (let row = 0; row < data.rows; row++) {
		data.features[row * data.columns] = -data.times[row]!;
		data.features[row * data.columns + 1] = data.labels[row]! * 10;
		data.features[row * data.columns + 2] = data.periodEvents[row]! * 10;
	}
	const found = await solved(data, undefined, 1e-6);
	t.ok(found.every(Number.isFinite));
	const { features, rows, columns, times } = data;
	const separated = { features, rows, columns, times, weights: new Float64Array() };
	const { converged } = await nativeAddon().fitCox({
		...separated,
		events: new Uint8Array(rows).fill(1),
		l2: Float64Array.of(0),
	});
	t.same([...converged], [0], 'without a penalty there is none, and it is said');
});

t.test('a multinomial path has a solution at every penalty: no step runs off along all classes at once', async (t) => {
	const [problems, rows, columns, classes] = [12, 30, 2, 5];
	const random = new RandomStream(7, 'probe');
	const [features, labels] = [new Float32Array(rows * columns), new Int32Array(rows)];
	for (let problem = 0; problem < problems; problem++) {
		for (const i of features.keys()) features[i] = random.normal();
		for (const i of labels.keys()) labels[i] = i < classes ? i : random.integer(classes);
		const l2 = Float64Array.of(1e-4, 1e-3, 1e-2, 1e-1, 1, 10);
		const shared = { features, rows, columns, weights: new Float64Array(), l2 };
		const { converged } = await nativeAddon().fitMultinomial({ ...shared, labels, classes });
		t.same([...converged], [1, 1, 1, 1, 1, 1], `problem ${problem}`);
	}
});

t.test('one class, no event, and what else has no solution, is an error that says so', async (t) => {
	const data = anyRows(2, 12);
	const { features, rows, columns, times, events, labels, atRisk, periodEvents } = data;
	const shared = { features, rows, columns, weights: new Float64Array(), l2: Float64Array.of(1) };
	const rejects = (call: () => Promise<unknown>, message: RegExp) =>
		t.rejects(nativeCall(call), { constructor: NativeError, message });
	const addon = nativeAddon();
	const none = new Uint8Array(rows);
	await rejects(() => addon.fitCox({ ...shared, times, events: none }), /events must hold at least one that counts/);
	await rejects(() => addon.fitCox({ ...shared, times: times.subarray(1), events }), /times must have 12 x 1 entries/);
	await rejects(
		() => addon.fitCox({ ...shared, times, events, weights: new Float64Array(rows) }),
		/weights must hold one above 0/,
	);
	await rejects(
		() => addon.fitCox({ ...shared, times, events, weights: Float64Array.of(1) }),
		/weights must have 12 x 1 entries but has 1/,
	);
	await rejects(
		() => addon.fitMultinomial({ ...shared, labels: labels.fill(0), classes: 2 }),
		/labels must hold every class but hold none of class 1/,
	);
	await rejects(() => addon.fitMultinomial({ ...shared, labels, classes: 1 }), /classes must be at least 2 but are 1/);
	await rejects(
		() => addon.fitHazard({ ...shared, atRisk, events: none, periods: 2 }),
		/each period must hold an event and a row without one but period 0 has 0 events in 12 rows/,
	);
	await rejects(
		() => addon.fitHazard({ ...shared, atRisk, events: periodEvents, periods: 1 }),
		/at_risk must be 0 to 1 but holds 2/,
	);
});
