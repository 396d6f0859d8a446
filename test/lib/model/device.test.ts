import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { main } from '../../../lib/cli/main.js';
import { openTokenStore, Trainer, WorldModel } from '../../../lib/index.js';
import { chooseDevice, Device } from '../../../lib/model/device.js';
import { type NativeDevices, nativeAddon } from '../../../lib/native.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../../fixtures/tiny-model.js';

const shape = { ...tinyModel, numHiddenLayers: 1 };
const card = (name: string, major: number, minor: number) => ({
	name,
	major,
	minor,
	memory: 80 * 2 ** 30,
	held: 0,
	peak: 0,
});
const cpuBuild = { built: false, driver: '', list: [] };
const noDriver = { built: true, driver: '', list: [] };
const noCard = { built: true, driver: '13.0', list: [] };
const volta = { built: true, driver: '13.0', list: [card('Old', 7, 0)] };
const mixed = { built: true, driver: '13.0', list: [card('Old', 7, 5), card('New', 9, 0)] };

t.test('auto takes the first card that can be used, and says in a line what it took and why', async (t) => {
	t.strictSame(chooseDevice('cpu', mixed), { device: 'cpu', why: 'as asked for' });
	t.strictSame(chooseDevice('auto', cpuBuild), { device: 'cpu', why: 'this is the CPU build' });
	t.match(chooseDevice('auto', noDriver), { device: 'cpu', why: 'the build has CUDA but the machine has no driver' });
	t.strictSame(chooseDevice('auto', noCard), { device: 'cpu', why: 'the driver (CUDA 13.0) shows no card' });
	t.strictSame(chooseDevice('auto', volta), {
		device: 'cpu',
		why: 'no card is sm_80 or newer (cuda:0 is Old, sm_70)',
	});
	t.strictSame(chooseDevice('auto', mixed), {
		device: 'cuda:1',
		why: 'New, sm_90; --device cpu computes on the CPU',
	});
	t.strictSame(chooseDevice('cuda:1', mixed), { device: 'cuda:1', why: 'New, sm_90, as asked for' });
});

t.test('CUDA that cannot be had is refused with its own reason and remedy', async (t) => {
	const refusal = (asked: Device, found: NativeDevices) => {
		try {
			chooseDevice(asked, found);
		} catch (error) {
			t.match(error, { name: 'DeviceError', code: 'EHR_JEPA_DEVICE' });
			return (error as Error).message;
		}
		return 'none';
	};
	const there = '[model] device must be one that is there but is';
	t.equal(
		refusal('cuda', cpuBuild),
		`${there} cuda: this is the CPU build; build for CUDA with EHR_JEPA_CUDA=1 npx ehr-jepa setup (docs/cuda.md), or give auto or cpu`,
	);
	t.equal(
		refusal('cuda:0', noDriver),
		`${there} cuda:0: the build has CUDA but the machine has no driver for it; install NVIDIA's driver, or give auto or cpu`,
	);
	t.equal(
		refusal('cuda', noCard),
		`${there} cuda: the driver (CUDA 13.0) shows no card; see what nvidia-smi and CUDA_VISIBLE_DEVICES say, or give auto or cpu`,
	);
	t.equal(
		refusal('cuda:2', mixed),
		`${there} cuda:2: there are 2 (cuda:0 is Old, sm_75, cuda:1 is New, sm_90); give a number below 2, auto or cpu`,
	);
	t.equal(
		refusal('cuda', mixed),
		'[model] device must be a card of sm_80 or newer but is cuda (Old, sm_75); choose another one, or cpu',
	);
});

const cards = nativeAddon().devices().list.length;

t.test('every way in refuses it', { skip: cards > 0 && 'this machine has a card' }, async (t) => {
	for (const device of ['cuda', 'cuda:0', 'cuda:7'] as const) {
		t.throws(() => new WorldModel({ shape, vocabSize: 8, device }), { code: 'EHR_JEPA_DEVICE' });
	}
	for (const device of ['auto', 'cpu'] as const) {
		await using model = new WorldModel({ shape, vocabSize: 8, device });
		t.equal(model.options.device, device);
		t.equal(model.device, 'cpu');
	}
	const out = join(t.testdir(), 'out');
	for (const command of ['train', 'embed', 'score', 'study', 'demo']) {
		const places = {
			train: ['store', out],
			embed: ['run', 'store', 'tasks', out],
			score: ['model', out, '--tokens', 'x'],
			study: ['--out', out],
			demo: ['--out', out],
		};
		const argv = [command, ...places[command as keyof typeof places], '--device', 'cuda:1', '--json'];
		t.equal(await main(argv), 5, command);
		t.notOk(existsSync(out), `${command} has written nothing`);
	}
});

t.test('a run belongs to no device: CUDA is refused at its start and when it goes on, and loses nothing', async (t) => {
	const folder = temporaryFolder(t);
	await prepareTinyStore(folder);
	await using store = await openTokenStore(join(folder, 'store'));
	const run = join(folder, 'run');
	const config = { model: tinyModel, contextTokens: 32, futureTokens: 16, tokensPerStep: 64, threads: 1, steps: 2 };
	const refused = { code: 'EHR_JEPA_DEVICE' };
	await t.rejects(Trainer.create(run, store, config, { device: `cuda:${cards}` }), refused);
	t.notOk(existsSync(run), 'no folder is left of it');
	{
		await using trainer = await Trainer.create(run, store, config, { device: 'cpu' });
		for await (const { step } of trainer.run(store)) if (step === 1) break;
	}
	await t.rejects(Trainer.resume(run, store, { device: `cuda:${cards}` }), refused);
	await using trainer = await Trainer.resume(run, store, { device: 'auto' });
	for await (const _ of trainer.run(store));
	t.equal(trainer.step, 2);
	t.notMatch(JSON.stringify(trainer.folder.config), 'device');
});

t.test('anything else is no device', async (t) => {
	for (const wrong of [
		'',
		'gpu',
		'cuda:',
		'cuda:-1',
		'cuda:01',
		'cuda:1.5',
		'cuda:99999',
		' cpu',
		'CPU',
		'mps',
		0,
		null,
	]) {
		t.notOk(Device.safeParse(wrong).success, String(wrong));
		t.throws(() => new WorldModel({ shape, vocabSize: 8, device: wrong as Device }), {
			code: 'EHR_JEPA_CONFIG',
			message: /device: must be auto, cpu, cuda or cuda:N, but it is/,
		});
	}
});
