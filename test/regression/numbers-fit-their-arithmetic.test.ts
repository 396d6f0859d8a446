/** A number that float32 arithmetic would make infinite, 0 or equal to its neighbours is refused where it enters. */
import { join } from 'node:path';
import t from 'tap';
import { z } from 'zod';
import { float32Number, parseConfig, ruleOf } from '../../lib/config.js';
import { withDatabase } from '../../lib/data/query.js';
import { embed, openTokenStore, readEmbeddings, scoreSequences, surpriseByDay, WorldModel } from '../../lib/index.js';
import { BuildTasksOptions } from '../../lib/tasks/build.js';
import { TrainConfig } from '../../lib/train/train-config.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

const folder = temporaryFolder(t);

/** Every option of a training whose number takes part in float32 arithmetic. */
const options: Record<string, (value: number) => unknown> = {
	'optimizer.learningRate': (learningRate) => ({ optimizer: { learningRate } }),
	'optimizer.epsilon': (epsilon) => ({ optimizer: { epsilon } }),
	'optimizer.weightDecay': (weightDecay) => ({ optimizer: { weightDecay } }),
	'optimizer.gradientClip': (gradientClip) => ({ optimizer: { gradientClip } }),
	'model.rmsNormEps': (rmsNormEps) => ({ model: { rmsNormEps } }),
	'model.ropeTheta': (ropeTheta) => ({ model: { ropeTheta } }),
	'model.initializerRange': (initializerRange) => ({ model: { initializerRange } }),
	'trainable.alpha': (alpha) => ({ trainable: { kind: 'lora', alpha } }),
	'objective.nextToken.weight': (weight) => ({ objective: { nextToken: { weight } } }),
	'objective.latent.weight': (weight) => ({ objective: { latent: { weight } } }),
	'objective.latent.loss.beta': (beta) => ({ objective: { latent: { loss: { kind: 'smooth-l1', beta } } } }),
	'objective.latent.antiCollapse.sigreg': (sigreg) => ({ objective: { latent: { antiCollapse: { sigreg } } } }),
	'objective.schedule.anchorWeight': (anchorWeight) => ({
		objective: { schedule: { kind: 'curriculum', anchorWeight } },
	}),
};

t.test('options of a training', async (t) => {
	for (const [path, of] of Object.entries(options)) {
		for (const value of [1e308, 4e38, 5e-324, 1e-39]) {
			t.throws(() => parseConfig('x', TrainConfig, of(value)), {
				code: 'EHR_JEPA_CONFIG',
				message: `[x] ${path}: must be 0 or have a size from 1.2e-38 to 3.4e38 (float32), but it is ${value}`,
			});
		}
		for (const value of [Number.NaN, Infinity, -Infinity]) {
			const message = `[x] ${path}: must be a finite number, but it is ${value}`;
			t.throws(() => parseConfig('x', TrainConfig, of(value)), { message });
		}
		t.doesNotThrow(() => parseConfig('x', TrainConfig, of(1e-6)), path);
	}
	t.ok(float32Number.safeParse(0).success && float32Number.safeParse(-3.4e38).success);
});

t.test('days fit 64 bits of microseconds', async (t) => {
	const codes = { prefix: ['A'] };
	const task = { name: 'a', label: 'A', kind: 'event', codes };
	const options: Record<string, (days: number) => object> = {
		'tasks.0.horizonsDays.0': (days) => ({ tasks: [{ ...task, horizonsDays: [days] }] }),
		'indexRules.0.days.0': (days) => ({ tasks: [task], indexRules: [{ kind: 'anchor', codes, days: [days] }] }),
		'indexRules.0.everyDays': (everyDays) => ({ tasks: [task], indexRules: [{ kind: 'calendar', everyDays }] }),
		bufferDays: (bufferDays) => ({ tasks: [task], bufferDays }),
		dropDaysBeforeDeath: (dropDaysBeforeDeath) => ({ tasks: [task], dropDaysBeforeDeath }),
	};
	for (const [path, of] of Object.entries(options)) {
		for (const days of [1_000_001, 2 ** 52])
			t.throws(() => parseConfig('x', BuildTasksOptions, of(days)), {
				code: 'EHR_JEPA_CONFIG',
				message: `[x] ${path}: must be at most 1000000, but it is ${days}`,
			});
		t.doesNotThrow(() => parseConfig('x', BuildTasksOptions, of(1_000_000)), path);
	}
});

t.test('budgets of tokens are whole and positive', async (t) => {
	const store = await openTokenStore(await prepareTinyStore(folder));
	t.teardown(() => store.close());
	const model = new WorldModel({ shape: tinyModel, vocabSize: store.vocabulary.size, threads: 1 });
	t.teardown(() => model.close());
	const subject = (await store.split('train').timeline(0)).subjectId;
	const dates = [{ subjectId: subject, predictionTime: 4_000_000_000_000_000n }];
	for (const contextTokens of [Number.NaN, 0, -0, -1, 2.5, 1e308, Infinity]) {
		const message = /\[embed\] contextTokens: must be/;
		await t.rejects(embed(model, store, dates, { contextTokens }), { code: 'EHR_JEPA_CONFIG', message });
		await t.rejects(
			async () => {
				for await (const _ of scoreSequences(model, [Int32Array.of(1, 2)], { tokensPerBatch: contextTokens }));
			},
			{ code: 'EHR_JEPA_CONFIG', message: /\[score\] tokensPerBatch: must be/ },
		);
		await t.rejects(
			async () => {
				for await (const _ of surpriseByDay(model, store.split('train'), store.vocabulary, contextTokens));
			},
			{ code: 'EHR_JEPA_CONFIG', message: /\[score\] windowTokens must be a whole number/ },
		);
	}
	t.equal((await embed(model, store, dates, { contextTokens: 1 })).rows, 1);
});

t.test('features keep their differences, or are refused', async (t) => {
	const file = join(folder, 'features.parquet');
	/** Ten rows of a column that is 1 and one of `value(i)`. */
	const write = (value: string) =>
		withDatabase({ threads: 1 }, (database) =>
			database.run(
				`COPY (SELECT i::BIGINT AS subject_id, TIMESTAMP '2020-01-01' AS prediction_time,
				[1.0::DOUBLE, (${value})::DOUBLE] AS embedding FROM range(10) t(i)) TO '${file}' (FORMAT parquet)`,
			),
		);
	for (const [value, why] of [
		['i * 1e-50', 'all would be 0'],
		['i * 5e-324', 'denormal numbers'],
		['1e9 + i', 'neighbours of float32 are 64 apart'],
		['1.7e18 + i * 1e6', 'times in nanoseconds'],
		['CASE WHEN i = 3 THEN 1e-60 ELSE 1e-61 END', 'small probabilities'],
	] as const) {
		await write(value);
		await t.rejects(
			readEmbeddings(file),
			{
				code: 'EHR_JEPA_DATA',
				message: /embedding must hold numbers that still differ as float32 but found place 1, .*; subtract the mean/,
			},
			why,
		);
	}
	for (const value of [
		'i * 1e-30',
		'1000 + i / 10',
		'CASE WHEN i = 3 THEN 0.5 ELSE 1e-60 END',
		'1e9',
		'-0.0',
		'i * 1e37',
	]) {
		await write(value);
		t.equal((await readEmbeddings(file)).rows, 10, value);
	}
	await write('i * 1e38 * 10');
	await t.rejects(readEmbeddings(file), { message: /must hold finite numbers that fit float32 .* row 1, subject 1/ });
});

t.test('a rule is said in words', async (t) => {
	const rule = (schema: z.ZodType, value: unknown) => ruleOf(schema.safeParse(value).error!.issues[0]!);
	t.equal(rule(z.int(), 0.5), 'must be a whole number');
	t.equal(rule(z.int(), 1e308), 'must be a whole number that is exact (below 2^53)');
	t.equal(rule(z.int().positive(), 0), 'must be above 0');
	t.equal(rule(z.number().min(0), -1), 'must be at least 0');
	t.equal(rule(z.number().lt(1), 1), 'must be below 1');
	t.equal(rule(z.int().max(8), 9), 'must be at most 8');
	t.equal(rule(z.int().multipleOf(2), 3), 'must be a multiple of 2');
	t.equal(rule(z.enum(['a', 'b']), 'c'), 'must be one of "a", "b"');
	t.equal(rule(z.literal(1), 2), 'must be 1');
	t.equal(rule(z.array(z.string()).min(1), []), 'must not be empty');
	t.equal(rule(z.array(z.string()).min(2), []), 'must have at least 2 items');
	t.equal(rule(z.union([z.string(), z.array(z.string())]), 3), 'must be a text or a list');
	const kinds = z.discriminatedUnion('kind', [z.object({ kind: z.literal('a') }), z.object({ kind: z.literal('b') })]);
	t.equal(rule(kinds, { kind: 'c' }), 'must be one of "a", "b"');
});
