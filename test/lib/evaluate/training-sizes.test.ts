import t from 'tap';
import { BoostedReader } from '../../../lib/evaluate/boosting.js';
import type { FeatureTable } from '../../../lib/evaluate/features.js';
import { bootstrap } from '../../../lib/evaluate/intervals.js';
import { RankedPredictions } from '../../../lib/evaluate/metrics.js';
import { ModelReader, type Reader } from '../../../lib/evaluate/reading.js';
import type { TaskSamples } from '../../../lib/evaluate/samples.js';
import { fitsOf, TrainingSizes, trainingSizeResults } from '../../../lib/evaluate/training-sizes.js';
import { RandomStream } from '../../../lib/random.js';
import { type LabelRow, sampleKey } from '../../../lib/tasks/read.js';
import type { Split } from '../../../lib/types.js';

const options = { draws: 200, level: 0.95, seed: 7 };
const random = new RandomStream(1, 'probe');

/** Three samples a patient; one in four is positive. */
function labelsOf(first: number, patients: number): LabelRow[] {
	return Array.from({ length: 3 * patients }, (_, i) => ({
		subjectId: BigInt(first + Math.floor(i / 3)),
		predictionTime: BigInt(i % 3),
		value: random.chance(0.25),
	}));
}
const labels: Record<Split, LabelRow[]> = {
	train: labelsOf(0, 150),
	tuning: labelsOf(1000, 8),
	held_out: labelsOf(2000, 60),
};
const samples: TaskSamples = {
	task: { name: 'x', horizonDays: 30 } as TaskSamples['task'],
	labels,
	tooFew: undefined,
};
const all = [...labels.train, ...labels.tuning, ...labels.held_out];
function tableOf(signal: number): FeatureTable {
	const columns = 6;
	const values = Float32Array.from({ length: all.length * columns }, () => random.normal());
	for (const [row, { value }] of all.entries()) if (value) values[row * columns]! += signal;
	return { values, rows: all.length, columns, samples: all };
}
const model = (name: string) => ({ name, label: name, kind: 'encoder' as const, description: '' });

/** Notes what it is fitted on. */
class Watched implements Reader {
	readonly fits: TaskSamples['labels'][] = [];
	readonly #of: Reader;
	constructor(of: Reader) {
		this.#of = of;
	}
	get table() {
		return this.#of.table;
	}
	get samples() {
		return this.#of.samples;
	}
	task(given: TaskSamples) {
		this.fits.push(given.labels);
		return this.#of.task(given);
	}
	survival(given: Parameters<Reader['survival']>[0], kind: Parameters<Reader['survival']>[1]) {
		return this.#of.survival(given, kind);
	}
	classes(given: Parameters<Reader['classes']>[0]) {
		return this.#of.classes(given);
	}
	latentState(given: Parameters<Reader['latentState']>[0]) {
		return this.#of.latentState(given);
	}
}
const informed = new Watched(new ModelReader(tableOf(1.2)));
const blind = new Watched(new ModelReader(tableOf(0)));
const models = [
	{ about: model('informed'), reader: informed },
	{ about: model('blind'), reader: blind },
];
const keys = (rows: readonly LabelRow[]) => rows.map(sampleKey);

t.test('k samples of each class: every model sees the same draws, a smaller one is part of a larger', async (t) => {
	const sizes = TrainingSizes.parse({ shots: [2, 8, 64], shares: [], replicates: 4 });
	let fits = 0;
	const results = await trainingSizeResults(samples, models, sizes, options, () => fits++);
	t.equal(fits, 2 * fitsOf(sizes));
	t.same(
		informed.fits.map(({ train }) => keys(train)),
		blind.fits.map(({ train }) => keys(train)),
	);
	const drawn = (size: number, replicate: number) => informed.fits[4 * size + replicate]!;
	for (const [i, k] of [2, 8, 64].entries()) {
		for (let replicate = 0; replicate < 4; replicate++) {
			const { train, tuning, held_out } = drawn(i, replicate);
			for (const value of [true, false]) {
				t.equal(new Set(keys(train.filter((label) => label.value === value))).size, k);
				const there = labels.tuning.filter((label) => label.value === value).length;
				t.equal(tuning.filter((label) => label.value === value).length, Math.min(k, there));
			}
			t.equal(held_out, labels.held_out, 'held-out stays whole');
			if (i > 0)
				t.ok(
					keys(drawn(i - 1, replicate).train).every((key) => keys(train).includes(key)),
					'nested',
				);
		}
		t.not(keys(drawn(i, 0).train).join(), keys(drawn(i, 1).train).join(), 'draws differ');
	}
	const of = (name: string, size: number) => results.find((row) => row.model === name && row.size === size)!;
	t.match(of('informed', 64), { kind: 'shots', nTrainSamples: 128, nTrainPositives: 64, replicates: 4 });
	t.ok(of('informed', 64).auroc.value! > of('informed', 2).auroc.value!, 'more samples, a better probe');
	t.ok(of('informed', 64).auroc.low! > of('blind', 64).auroc.high!);
	const again = await trainingSizeResults(samples, models, sizes, options);
	t.same(again, results, 'the seed decides');
	t.not((await trainingSizeResults(samples, models, sizes, { ...options, seed: 8 }))[0]!.auroc, results[0]!.auroc);

	// The mean over the draws, by hand.
	const truth = labels.held_out.map(({ value }) => (value ? 1 : 0));
	const ones = new Float64Array(truth.length).fill(1);
	const each: number[] = [];
	for (let replicate = 0; replicate < 4; replicate++) {
		const reading = await informed.task({ ...samples, labels: drawn(1, replicate) });
		if (!('probabilities' in reading)) throw new Error('must be defined');
		const metric = new RankedPredictions(reading.probabilities, truth).auroc(ones);
		if ('value' in metric) each.push(metric.value);
	}
	const mean = each.reduce((sum, value) => sum + value, 0) / 4;
	const found = of('informed', 8);
	t.ok(Math.abs(found.auroc.value! - mean) < 1e-12);
	t.ok(Math.abs(found.deviation! - Math.sqrt(each.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 3)) < 1e-12);
	t.ok(found.auroc.low! < mean && mean < found.auroc.high!);
});

t.test('shares of the patients; all of them is the probe itself, with its interval', async (t) => {
	const sizes = TrainingSizes.parse({ shots: [], shares: [1, 0.1], replicates: 3 });
	informed.fits.length = 0;
	const [part, , whole] = await trainingSizeResults(samples, models, sizes, options);
	t.match(part, { kind: 'share', size: 0.1, replicates: 3, nTrainSamples: 45 });
	t.match(whole, { model: 'informed', kind: 'share', size: 1, replicates: 1, nTrainSamples: 450, deviation: null });
	t.same(new Set(informed.fits[0]!.train.map(({ subjectId }) => subjectId)).size, 15, 'patients, with all they have');
	t.same(new Set(informed.fits[0]!.tuning.map(({ subjectId }) => subjectId)).size, 1);
	const reading = await new ModelReader(tableOf(0)).task(samples);
	t.ok('probabilities' in reading);
	const read = await informed.task(samples);
	if (!('probabilities' in read)) throw new Error('must be defined');
	const truth = labels.held_out.map(({ value }) => (value ? 1 : 0));
	const ranked = new RankedPredictions(read.probabilities, truth);
	const patients = labels.held_out.map(({ subjectId }) => subjectId);
	const { estimates } = await bootstrap(patients, [(weights) => ranked.auroc(weights)], [], options);
	t.same(whole!.auroc, estimates[0], 'the same resamples');
});

t.test(
	'a size that train does not hold is undefined, with the reason, and so is a task without held-out patients',
	async (t) => {
		const sizes = TrainingSizes.parse({ shots: [1, 5000], shares: [0.001], replicates: 2 });
		const boosted = [...models, { about: model('boosting'), reader: new BoostedReader(tableOf(1.2)) }];
		const results = await trainingSizeResults(samples, boosted, sizes, options);
		t.equal(results.length, 9);
		for (const { auroc, size, model: name } of results) {
			if (size === 5000) t.match(auroc, { value: null, undefinedReason: /positive samples in train, 5000 are needed/ });
			else if (size === 1) t.type(auroc.value, 'number', name);
			else if (auroc.value === null) t.match(auroc.undefinedReason, /one class only in train/);
		}
		const tooFew = await trainingSizeResults({ ...samples, tooFew: 'no samples in held-out' }, models, sizes, options);
		t.ok(tooFew.every(({ auroc }) => auroc.value === null && auroc.undefinedReason !== undefined));
		await t.rejects(trainingSizeResults(samples, models, sizes, { ...options, signal: AbortSignal.abort() }), {
			code: 'ABORT_ERR',
		});
		t.throws(() => TrainingSizes.parse({ shots: [0] }));
		t.throws(() => TrainingSizes.parse({ shares: [1.5] }));
	},
);
