import { join } from 'node:path';
import t from 'tap';
import { demoTraining } from '../../../lib/cli/demo-pipeline.js';
import { applySettings, configFile } from '../../../lib/cli/settings.js';
import { parseConfig } from '../../../lib/config.js';
import { StudyOptions } from '../../../lib/study/options.js';
import { TrainConfig, type TrainConfigInput } from '../../../lib/train/train-config.js';

const train = (base: TrainConfigInput, ...settings: string[]) => applySettings('train', TrainConfig, base, settings);
const parsed = (base: TrainConfigInput, ...settings: string[]) =>
	parseConfig('train', TrainConfig, train(base, ...settings));

t.test('an option is set by its path; values are JSON or text', async (t) => {
	const base: TrainConfigInput = { steps: 5, optimizer: { beta1: 0.8 } };
	t.same(train(base, 'optimizer.learningRate=1e-4', 'computeDtype=bfloat16', 'initialWeights=a=b', 'tuningEvery=0'), {
		steps: 5,
		optimizer: { beta1: 0.8, learningRate: 1e-4 },
		computeDtype: 'bfloat16',
		initialWeights: 'a=b',
		tuningEvery: 0,
	});
	t.same(base, { steps: 5, optimizer: { beta1: 0.8 } }, 'the base is left as it is');
	t.same(train({}, 'objective.latent=null'), { objective: { latent: null } });
	t.same(applySettings('study', StudyOptions, {}, ['variants=["sft","jepa"]', 'draws=60']), {
		variants: ['sft', 'jepa'],
		draws: 60,
	});
});

t.test('a part of several kinds: an option finds its kind, another kind starts anew', async (t) => {
	t.match(parsed({}, 'objective.latent.branch.ratio=1').objective.latent?.branch, { kind: 'masked', ratio: 1 });
	t.match(parsed({}, 'objective.latent.target.momentum=0.9').objective.latent?.target, { kind: 'ema', momentum: 0.9 });
	const ema: TrainConfigInput = { objective: { latent: { target: { kind: 'ema', momentum: 0.9 } } } };
	t.same(parsed(ema, 'objective.latent.target.kind=frozen').objective.latent?.target.kind, 'frozen');
	t.match(parsed({}, 'trainable.rank=4', 'trainable.kind=lora').trainable, { kind: 'lora', rank: 4 }, 'in any order');
	t.match(parsed({ objective: { nextToken: {}, latent: null } }, 'objective.latent.cuts=2').objective.latent, {
		cuts: 2,
	});
});

t.test('what is no option, or is set twice, is refused', async (t) => {
	const refused = (message: RegExp, ...settings: string[]) =>
		t.throws(() => train({}, ...settings), { code: 'EHR_JEPA_CONFIG', message });
	refused(/"optimiser\.learningRate" is none; the nearest is optimizer\.learningRate/, 'optimiser.learningRate=1');
	refused(/the nearest is optimizer\.learningRate/, 'learningRate=1');
	refused(/the nearest is steps/, 'stesp=3');
	refused(/the nearest is steps/, 'steps.x=3');
	refused(/is none/, '__proto__.polluted=1');
	refused(/is none/, 'constructor=1');
	refused(/--set must be path=value but is "steps"/, 'steps');
	refused(/must be path=value/, '=3');
	refused(/names steps twice/, 'steps=3', 'steps=4');
	t.throws(() => applySettings('train', TrainConfig, {}, ['steps=3'], [{ flag: '--steps', path: 'steps', value: 4 }]), {
		message: '[train] --steps and --set steps are the same option; give one of them',
	});
	t.throws(() => parsed({}, 'steps=many'), { message: /steps: .* but it is "many"/ });
});

t.test('a mistyped path is answered with the nearest whole path', async (t) => {
	for (const [given, nearest] of [
		['nextToken.onn', 'objective.nextToken.on'],
		['nexttoken.weigth', 'objective.nextToken.weight'],
		['latent.weigth', 'objective.latent.weight'],
		['objective.latent.brunch.ratio', 'objective.latent.branch.ratio'],
		['target.momentun', 'objective.latent.target.momentum'],
		['train.stepz', 'steps'],
		['STEPS', 'steps'],
	] as const) {
		const message = `[train] --set must name an option but "${given}" is none; the nearest is ${nearest}`;
		t.throws(() => train({}, `${given}=1`), { message });
	}
});

t.test('a configuration file holds an object', async (t) => {
	const folder = t.testdir({ 'good.json': '{"steps": 3}', 'list.json': '[3]', 'null.json': 'null' });
	t.same(await configFile('train', join(folder, 'good.json')), { steps: 3 });
	t.same(await configFile('train', undefined), {});
	for (const name of ['list.json', 'null.json'])
		await t.rejects(configFile('train', join(folder, name)), {
			code: 'EHR_JEPA_CONFIG',
			message: /^\[train --config\] .* must hold an object with options but holds (a list|null)$/,
		});
});

t.test('the demo keeps its objectives, its steps and its seed', async (t) => {
	t.same(demoTraining(['optimizer.learningRate=1e-4']), { optimizer: { matrixUpdate: 'muon', learningRate: 1e-4 } });
	t.throws(() => demoTraining(['steps=3']), { message: /use --steps/ });
	t.throws(() => demoTraining(['objective.latent.cuts=3']), { message: /the demo compares two/ });
	t.throws(() => demoTraining(['computeDtype=int8']), { message: /computeDtype/ });
});
