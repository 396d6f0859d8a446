import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { normalised, type RolloutTable, rolloutTarget } from '../../../lib/evaluate/rollout.js';
import { evaluateRollout } from '../../../lib/evaluate/rollout-evaluation.js';
import {
	buildTasks,
	embed,
	evaluate,
	objectivePresets,
	openModel,
	openTokenStore,
	prepareStore,
	readIndexDates,
	readRollout,
	rollout,
	simulateCohort,
	simulatedTasks,
	type TrainConfigInput,
	Trainer,
	writeEmbeddings,
	writeReport,
	writeRollout,
} from '../../../lib/index.js';
import { Objective } from '../../../lib/objective/objective.js';
import { RandomStream } from '../../../lib/random.js';
import type { Split } from '../../../lib/types.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';

const tiny: TrainConfigInput = {
	model: tinyModel,
	contextTokens: 48,
	futureTokens: 48,
	tokensPerStep: 512,
	tuningBatches: 1,
};

t.test('a run with a state branch is rolled out, evaluated and reported', { timeout: 300_000 }, async (t) => {
	const folder = temporaryFolder(t);
	const [cohort, tasks, run] = [join(folder, 'cohort'), join(folder, 'tasks'), join(folder, 'run')];
	await simulateCohort(cohort, { patients: 150, seed: 1 });
	await prepareStore(cohort, join(folder, 'store'));
	await buildTasks(cohort, tasks, { tasks: simulatedTasks.slice(0, 1) });
	const store = await openTokenStore(join(folder, 'store'));
	t.teardown(() => store.close());
	{
		await using trainer = await Trainer.create(run, store, {
			...tiny,
			steps: 12,
			objective: {
				...objectivePresets.rollout,
				latent: { branch: { kind: 'state' }, predictor: { kind: 'transformer', width: 8 } },
			},
		});
		let last: { readonly latentLoss: number | null } | undefined;
		for await (const line of trainer.run(store)) last = line;
		t.ok(Number.isFinite(last?.latentLoss));
	}
	const { model } = await openModel(run);
	t.teardown(() => model.close());
	t.ok(model.predictsFromState);
	const indexDates = await readIndexDates(tasks);
	const table = await rollout(model, store, indexDates, { contextTokens: 48 });
	t.ok(table.samples.length > 0.9 * indexDates.length);
	t.same(await rollout(model, store, indexDates, { contextTokens: 48 }), table, 'the same every time');
	const first = table.samples[0]!;
	t.equal(first.now.length, 16);
	t.same(
		first.ahead.map(({ horizonDays }) => horizonDays),
		[30, 180, 365],
	);
	t.not(first.ahead[0]!.predicted.join(), first.ahead[2]!.predicted.join(), 'the time ahead counts');
	t.ok(
		table.samples.some(({ ahead }) => ahead[0]!.record === null) && table.samples.some(({ ahead }) => ahead[2]!.record),
	);

	const file = join(folder, 'rollout.parquet');
	await writeRollout(file, table, { run: 'run' });
	const read = await readRollout(file);
	t.same(
		read.samples.map(({ now, ahead }) => [now, ahead]),
		table.samples.map(({ now, ahead }) => [now, ahead]),
	);
	await writeEmbeddings(join(folder, 'e.parquet'), await embed(model, store, indexDates, { contextTokens: 48 }), {
		model: 'rollout',
	});
	await t.rejects(readRollout(join(folder, 'e.parquet')), { code: 'EHR_JEPA_DATA' });

	const about = { name: 'rollout', label: 'Rollout', kind: 'encoder' as const, description: 'd' };
	const out = join(folder, 'evaluation.json');
	const models = [{ ...about, embeddings: join(folder, 'e.parquet'), rollout: file }];
	const evaluation = await evaluate({ meds: cohort, tasks, models, out, draws: 40 });
	t.same(
		evaluation.rollout.map(({ model, horizonDays }) => [model, horizonDays]),
		[
			['rollout', 30],
			['rollout', 180],
			['rollout', 365],
		],
	);
	for (const { r2, stateErrors } of evaluation.rollout) {
		for (const { value } of [r2.direct, r2.rollout, r2.copy]) t.ok(value !== null && value < 1);
		t.ok(stateErrors.nSamples > 0 && stateErrors.predicted! > 0 && stateErrors.copy! > 0 && stateErrors.mean! > 0);
	}
	const report = join(folder, 'report.html');
	await writeReport(report, { evaluation: out, runs: [{ name: 'rollout', label: 'Rollout', directory: run }] });
	t.match(readFileSync(report, 'utf8'), /Predicted states.*Predicted minus copy/s);

	await using masked = await Trainer.create(join(folder, 'masked'), store, { ...tiny, steps: 1 });
	const refused = { code: 'EHR_JEPA_CONFIG', message: /"branch": \{"kind": "state"\}/ };
	await t.rejects(rollout(masked.model, store, indexDates, { contextTokens: 48 }), refused);
	await t.rejects(masked.model.predictLatent(new Float32Array(16), Float32Array.of(1)), refused);
	const wrong = { code: 'EHR_JEPA_CONFIG' };
	await t.rejects(model.predictLatent(new Float32Array(15), Float32Array.of(1)), wrong);
	await t.rejects(model.predictLatent(new Float32Array(16), Float32Array.of(-1)), wrong);
	await t.rejects(model.predictLatent(new Float32Array(16), Float32Array.of(Number.NaN)), wrong);
	t.equal((await model.predictLatent(new Float32Array(0), new Float32Array(0))).length, 0);
});

t.test('a predictor that knows the dynamics beats the copy, and one that copies equals it', async (t) => {
	// The state is the true one and grows by a factor that the time ahead decides.
	const random = new RandomStream(3, 'cohort');
	const splitOf = (i: number): Split => (i % 3 === 0 ? 'held_out' : i % 3 === 1 ? 'tuning' : 'train');
	const dates = Array.from({ length: 300 }, (_, i) => ({
		subjectId: BigInt(i),
		predictionTime: 0n,
		split: splitOf(i),
	}));
	const truth = dates.map(() => Float32Array.of(random.normal(), random.normal()));
	const grown = (state: Float32Array, days: number) => Float32Array.of(state[0]! * (1 + days / 400), -state[1]!);
	const table = (knows: boolean): RolloutTable => ({
		columns: 2,
		samples: dates.map((sample, i) => ({
			sample,
			now: truth[i]!,
			ahead: [30, 180, 365].map((horizonDays) => {
				const predicted = knows ? grown(truth[i]!, horizonDays) : truth[i]!;
				return { horizonDays, predicted, record: { state: grown(truth[i]!, horizonDays), predicted } };
			}),
		})),
	});
	const targets = [0, 30, 180, 365].map((horizonDays) => ({
		axes: ['a', 'b'],
		horizonDays,
		samples: dates.map((sample, i) => ({
			sample,
			state: horizonDays === 0 ? truth[i]! : grown(truth[i]!, horizonDays),
		})),
	}));
	const options = { draws: 50, level: 0.95, seed: 1 };
	for (const result of await evaluateRollout('m', table(true), dates, targets, options)) {
		t.ok(result.r2.rollout.value! > 0.99 && result.r2.direct.value! > 0.99);
		t.ok(result.r2.copy.value! < 0.6 && result.gain.low! > 0);
		t.ok(result.stateErrors.predicted! < 1e-9 && result.stateErrors.copy! > 1);
		t.equal(result.nPatients, 100);
	}
	for (const result of await evaluateRollout('m', table(false), dates, targets, options)) {
		t.equal(result.gain.value, 0);
		t.equal(result.stateErrors.predicted, result.stateErrors.copy);
	}
	const empty = targets.map((target) => ({ ...target, samples: [] }));
	for (const { r2 } of await evaluateRollout('m', table(true), dates, empty, options))
		t.match(r2.rollout, { value: null, undefinedReason: /no samples/ });
});

t.test('states are normalised as targets are, and runs say whose states they predict', async (t) => {
	const state = normalised(Float32Array.of(1, 2, 3, 6));
	t.ok(Math.abs(state.reduce((sum, value) => sum + value, 0)) < 1e-5);
	t.ok(Math.abs(state.reduce((sum, value) => sum + value * value, 0) / 4 - 1) < 1e-4);
	const target = (value: object) =>
		rolloutTarget(Objective.parse({ latent: { branch: { kind: 'state' }, target: value } }));
	t.same(target({ kind: 'ema' }), { target: 'target_encoder' });
	t.same(target({ kind: 'online' }), { target: 'encoder' });
	t.throws(() => target({ kind: 'ema', layers: 2 }), { code: 'EHR_JEPA_CONFIG' });
});
