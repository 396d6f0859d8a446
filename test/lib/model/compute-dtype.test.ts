/** What a training computes in follows the processor, unless it is told, and a run keeps it. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { main } from '../../../lib/cli/main.js';
import { openTokenStore, planTraining, RunFolder, Trainer } from '../../../lib/index.js';
import { computeDtypeNote, machineComputeDtype } from '../../../lib/model/compute-dtype.js';
import { nativeAddon } from '../../../lib/native.js';
import { trainPresets } from '../../../lib/train/presets.js';
import { TrainConfig } from '../../../lib/train/train-config.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../../fixtures/tiny-model.js';

/** A processor that multiplies bfloat16, or none, for the rest of a test. */
function onProcessor(t: Test, multipliesBfloat16: boolean): void {
	const info = nativeAddon().buildInfo();
	t.capture(nativeAddon(), 'buildInfo', () => ({ ...info, multipliesBfloat16 }));
}

async function cli(t: Test, ...args: string[]) {
	const outputs = [t.capture(process.stdout, 'write', () => true), t.capture(process.stderr, 'write', () => true)];
	const code = await main(args);
	const [stdout, stderr] = outputs.map((calls) =>
		calls()
			.map(({ args: [text] }) => String(text))
			.join(''),
	);
	for (const output of outputs) output.restore();
	t.equal(code, 0, stderr!);
	return { stdout: stdout!, stderr: stderr! };
}

const tiny = { model: tinyModel, contextTokens: 32, futureTokens: 16, tokensPerStep: 64, threads: 1, steps: 2 };

t.test('the addon says whether this processor multiplies bfloat16', async (t) => {
	t.type(nativeAddon().buildInfo().multipliesBfloat16, 'boolean');
});

t.test('a default of the configuration, over which a value wins', async (t) => {
	for (const [multiplies, dtype] of [
		[true, 'bfloat16'],
		[false, 'float32'],
	] as const) {
		await t.test(dtype, async (t) => {
			onProcessor(t, multiplies);
			t.equal(machineComputeDtype().dtype, dtype);
			t.equal(TrainConfig.parse({}).computeDtype, dtype);
			t.equal(TrainConfig.parse({ computeDtype: 'float32' }).computeDtype, 'float32');
			t.equal(TrainConfig.parse({ computeDtype: 'bfloat16' }).computeDtype, 'bfloat16');
			t.equal((await planTraining({ model: tinyModel }, 64)).config.computeDtype, dtype);
			const gpu = { device: 'h100' } as const;
			t.equal((await planTraining({ model: tinyModel }, 64, gpu)).config.computeDtype, 'bfloat16');
			t.equal((await planTraining({ computeDtype: 'float32' }, 64, gpu)).config.computeDtype, 'float32');
			t.match((await cli(t, 'info')).stdout, new RegExp(`^computeDtype +${dtype} by default: this processor `, 'm'));
			t.equal(JSON.parse((await cli(t, 'info', '--json')).stdout).computeDtype, dtype);
		});
	}
	for (const preset of Object.values(trainPresets)) t.equal(preset.computeDtype, 'bfloat16', 'presets say it');
});

t.test('a training says it before its first step, and a run keeps it on another machine', async (t) => {
	const folder = temporaryFolder(t);
	const store = await prepareTinyStore(folder);
	const run = join(folder, 'run');
	const settings = Object.entries({ ...tiny, model: undefined }).flatMap(([name, value]) =>
		value === undefined ? [] : name === 'steps' ? [`--steps=${value}`] : ['--set', `${name}=${value}`],
	);
	await t.test('begun where bfloat16 is multiplied', async (t) => {
		onProcessor(t, true);
		const { stderr } = await cli(t, 'train', store, run, '--size', 'tiny', ...settings);
		t.match(stderr, /^computing in bfloat16: this processor multiplies it$/m);
	});
	await t.test('continued where it is not', async (t) => {
		onProcessor(t, false);
		const { stderr } = await cli(t, 'train', store, run, '--resume', '--steps', '3');
		t.match(
			stderr,
			/^computing in bfloat16 as the run began; this processor has no instructions .* float32 would be faster/m,
		);
		t.equal((await RunFolder.open(run)).config.train.computeDtype, 'bfloat16');
		await using opened = await openTokenStore(store);
		await using trainer = await Trainer.resume(run, opened);
		t.equal(trainer.model.options.computeDtype, 'bfloat16');
	});
	await t.test('told', async (t) => {
		onProcessor(t, true);
		t.equal(computeDtypeNote('float32', 'as configured'), 'computing in float32 as configured');
		t.equal(computeDtypeNote('bfloat16', 'as configured'), 'computing in bfloat16 as configured');
	});
});
