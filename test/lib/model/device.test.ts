import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { main } from '../../../lib/cli/main.js';
import { openTokenStore, Trainer, WorldModel } from '../../../lib/index.js';
import { chooseDevice, Device } from '../../../lib/model/device.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../../fixtures/tiny-model.js';

const shape = { ...tinyModel, numHiddenLayers: 1 };
const cpuBuild = { cuda: false } as never;
const cudaBuild = { cuda: true } as never;

t.test('auto and cpu compute on the CPU, and say why', async (t) => {
	t.match(chooseDevice('cpu', cpuBuild), { device: 'cpu', why: 'as asked for' });
	t.match(chooseDevice('auto', cpuBuild), { device: 'cpu', why: /the engine computes on the CPU alone/ });
	t.match(chooseDevice('auto', cudaBuild), { device: 'cpu', why: /although this build has CUDA/ });
	for (const device of ['auto', 'cpu'] as const) {
		const model = new WorldModel({ shape, vocabSize: 8, device });
		t.equal(model.options.device, device);
		await model.close();
	}
});

t.test('CUDA is refused by every way in, never pretended', async (t) => {
	for (const device of ['cuda', 'cuda:0', 'cuda:7'] as const) {
		t.throws(() => new WorldModel({ shape, vocabSize: 8, device }), {
			name: 'DeviceError',
			code: 'EHR_JEPA_DEVICE',
			message:
				/^\[model\] device must be one that the engine computes on but is cuda.*leave it out, or give auto or cpu$/,
		});
	}
	t.throws(() => chooseDevice('cuda', cpuBuild), { message: /this is the CPU build, and so far the engine/ });
	t.throws(() => chooseDevice('cuda', cudaBuild), { message: /but is cuda: so far the engine/ });

	const out = join(t.testdir(), 'out');
	for (const command of ['train', 'embed', 'score']) {
		const places = {
			train: ['store', out],
			embed: ['run', 'store', 'tasks', out],
			score: ['model', out, '--tokens', 'x'],
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
	await t.rejects(Trainer.create(run, store, config, { device: 'cuda' }), refused);
	t.notOk(existsSync(run), 'no folder is left of it');
	{
		await using trainer = await Trainer.create(run, store, config, { device: 'cpu' });
		for await (const { step } of trainer.run(store)) if (step === 1) break;
	}
	await t.rejects(Trainer.resume(run, store, { device: 'cuda:0' }), refused);
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
