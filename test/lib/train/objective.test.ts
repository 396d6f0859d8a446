import t from 'tap';
import { parseConfig } from '../../../lib/config.js';
import { LossOptions, nativeLossOptions, nativeStepOptions, StepOptions } from '../../../lib/model/step-options.js';
import { Objective, objectivePresets, targetRestartsAt, weightsAt } from '../../../lib/objective/objective.js';
import { lossOptionsAt, predictorOptions, samplerOptions } from '../../../lib/train/loss-options.js';
import { TrainConfig, type TrainConfigInput } from '../../../lib/train/train-config.js';

const config = (input: TrainConfigInput) => TrainConfig.parse(input);
/** What the core is told at a step of a run, with every reading that it can take. */
const nativeAt = (run: TrainConfig, step: number) =>
	nativeStepOptions(
		StepOptions.parse({ ...lossOptionsAt(run, step, { collapse: true }), learningRate: 1e-3, interference: true }),
	);

t.test('simultaneous: both weights from the first step; the latent one may rise', async (t) => {
	const plain = Objective.parse({});
	t.same(weightsAt(plain, 1, 100), { nextToken: 1, latent: 1, momentum: 0.996 });
	const rising = Objective.parse({ latent: { weight: 2, weightWarmup: 0.1 } });
	t.equal(weightsAt(rising, 5, 100).latent, 1);
	t.equal(weightsAt(rising, 10, 100).latent, 2);
	t.equal(weightsAt(rising, 90, 100).latent, 2);
});

t.test(
	'curriculum: the latent stage comes second, with the next-token loss as an anchor and a fresh target',
	async (t) => {
		const run = config({
			steps: 100,
			objective: { schedule: { kind: 'curriculum', sftFraction: 0.4, anchorWeight: 0.2 } },
		});
		t.same(weightsAt(run.objective, 40, 100), { nextToken: 1, latent: 0, momentum: null });
		t.same(weightsAt(run.objective, 41, 100), { nextToken: 0.2, latent: 1, momentum: 0.996 });
		t.same(
			Array.from({ length: 100 }, (_, i) => i + 1).filter((step) => targetRestartsAt(run.objective, step, 100)),
			[41],
		);
		const frozen = config({
			steps: 100,
			objective: { ...objectivePresets.curriculum, latent: { target: { kind: 'frozen' } } },
		});
		t.notOk(targetRestartsAt(frozen.objective, 51, 100), 'a frozen target stays the initial model');
		t.notOk(targetRestartsAt(config({}).objective, 1, 100));
		t.equal(nativeAt(run, 30).withCollapseMonitors, false);
		t.throws(() => Objective.parse({ latent: null, schedule: { kind: 'curriculum' } }), /curriculum needs both/);
	},
);

t.test('momentum: constant, linear to its end, frozen, or none', async (t) => {
	const at = (target: object, step: number) => weightsAt(Objective.parse({ latent: { target } }), step, 11).momentum;
	t.equal(at({ kind: 'ema' }, 7), 0.996);
	t.equal(at({ kind: 'ema', momentum: 0.9, finalMomentum: 1 }, 1), 0.9);
	t.equal(at({ kind: 'ema', momentum: 0.9, finalMomentum: 1 }, 6), 0.95);
	t.equal(at({ kind: 'ema', momentum: 0.9, finalMomentum: 1 }, 11), 1);
	t.equal(at({ kind: 'frozen' }, 3), 1);
	t.equal(at({ kind: 'online' }, 3), null);
});

t.test('every option reaches the core', async (t) => {
	const run = config({
		seed: 9,
		objective: {
			latent: {
				cuts: 3,
				branch: { kind: 'masked', ratio: 1, span: 4 },
				loss: { kind: 'smooth-l1', beta: 0.5 },
				predictor: { kind: 'identity' },
				target: { kind: 'ema', layers: 2 },
				antiCollapse: { variance: 25, covariance: 1, sigreg: 0.05 },
			},
		},
	});
	t.match(nativeAt(run, 7), {
		withCollapseMonitors: true,
		withInterference: true,
		latent: {
			loss: 'smooth-l1',
			beta: 0.5,
			target: 'ema',
			targetLayers: 2,
			antiCollapse: { variance: 25, covariance: 1, sigreg: 0.05 },
		},
		seed: 9,
		step: 7,
	});
	t.equal(predictorOptions(run).kind, 'identity');
	t.same(samplerOptions(run, 1).branches, { branch: { kind: 'masked', ratio: 1, span: 4 }, cuts: 3 });
	t.same(samplerOptions(config({ objective: objectivePresets.fast }), 1).branches, {
		branch: { kind: 'query', at: 'day-ends' },
		cuts: 1,
	});
	t.equal(samplerOptions(config({ objective: objectivePresets.sft }), 1).branches, null);
	for (const wrong of [
		{ latent: { branch: { kind: 'query', ratio: 0.5 } } },
		{ latent: { loss: { kind: 'mse', beta: 1 } } },
		{ latent: { target: { kind: 'online', layers: 2 } } },
		{ latent: { predictor: { kind: 'identity', width: 3 } } },
		{ latent: { cuts: 0 } },
		{ latent: { branch: { kind: 'query', share: 0.1 } } },
		{ latent: { branch: { kind: 'query', at: 'day-ends', share: 0.1 } } },
		{ latent: { branch: { kind: 'masked', ratio: 0 } } },
		{ latent: { branch: { kind: 'state' }, predictor: { kind: 'mlp' } } },
		{ latent: { branch: { kind: 'views' }, predictor: { kind: 'transformer' } } },
		{ latent: { branch: { kind: 'views' }, target: { kind: 'ema' } } },
		{ latent: { target: { kind: 'views' } } },
		{ latent: { branch: { kind: 'views', predictorTokens: 5 } } },
	]) {
		t.throws(() => Objective.parse(wrong), `${JSON.stringify(wrong)} is an option without effect, or out of range`);
	}
});

t.test('predictors: sizes follow from the model, and a state branch brings its own', async (t) => {
	const of = (latent: object, hiddenSize = 128) =>
		predictorOptions(config({ model: { hiddenSize }, objective: { latent } }));
	const none = { width: 0, layers: 0, heads: 0, fromState: false };
	t.same(of({}), { ...none, kind: 'mlp', width: 256 });
	const transformer = { kind: 'transformer', layers: 2, width: 64, heads: 2, fromState: false };
	t.same(of({ predictor: { kind: 'transformer' } }), transformer);
	t.same(of({ predictor: { kind: 'transformer' } }, 2048), { ...transformer, width: 512, heads: 16 });
	t.same(of({ predictor: { kind: 'transformer', width: 48, heads: 6, layers: 1 } }), {
		...transformer,
		width: 48,
		heads: 6,
		layers: 1,
	});
	t.same(of({ branch: { kind: 'state' } }), { ...transformer, fromState: true });
	t.throws(
		() =>
			parseConfig('train config', TrainConfig, {
				objective: { latent: { branch: { kind: 'state' }, predictor: { kind: 'mlp' } } },
			}),
		{
			code: 'EHR_JEPA_CONFIG',
			message: /objective\.latent\.predictor\.kind: must be "transformer" for a "state" branch/,
		},
	);
});

t.test('two views: the reference’s defaults, and no target encoder that moves', async (t) => {
	const run = config({ objective: objectivePresets['llm-jepa'] });
	t.match(run.objective.latent, {
		weight: 0.1,
		loss: { kind: 'cosine' },
		predictor: { kind: 'identity' },
		target: { kind: 'views' },
		branch: { kind: 'views', predictorTokens: 1 },
	});
	t.equal(weightsAt(run.objective, 1, 10).momentum, null);
	t.match(nativeAt(run, 1).latent, { target: 'views', targetLayers: 1 });
	t.same(Objective.parse(run.objective), run.objective, 'what a run folder keeps is read as it was');
	const rollout = config({ objective: objectivePresets.rollout });
	t.match(rollout.objective.latent, { weight: 1, loss: { kind: 'mse' }, predictor: { kind: 'transformer' } });
});

t.test('a step of one’s own needs a learning rate alone; schedules need to know how long the run is', async (t) => {
	const options = StepOptions.parse({ learningRate: 1e-3 });
	t.match(nativeStepOptions(options), {
		nextTokenWeight: 1,
		latentWeight: 1,
		optimizer: { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01 },
		gradientClip: 1,
		momentum: 0.996,
		restartTarget: false,
		withCollapseMonitors: false,
		withInterference: false,
	});
	t.match(nativeLossOptions(LossOptions.parse({ objective: objectivePresets.sft })), { latentWeight: 0 });
	const refused = (input: object, message: RegExp) =>
		t.throws(() => parseConfig('step', StepOptions, input), { code: 'EHR_JEPA_CONFIG', message });
	refused({}, /learningRate: .* it is missing/);
	refused({ learningRate: 1e-3, momentum: 1 }, /has no option "momentum"/);
	refused({ learningRate: 1e-3, objective: { latent: { temperature: 1 } } }, /has no option "temperature"/);
	const { curriculum } = objectivePresets;
	refused({ learningRate: 1e-3, objective: curriculum }, /steps: must be the number of updates of the run/);
	const at = (step: number) =>
		nativeStepOptions(StepOptions.parse({ learningRate: 1e-3, objective: curriculum, step, steps: 10 }));
	t.match(at(5), { latentWeight: 0, restartTarget: false });
	t.match(at(6), { latentWeight: 1, restartTarget: true });
	t.match(at(7), { latentWeight: 1, restartTarget: false });
});
