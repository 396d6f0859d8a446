import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openTokenStore, prepareStore, RunFolder, simulateCohort, Trainer } from '../../lib/index.js';
import { RandomStream } from '../../lib/random.js';
import type { TrainConfigInput } from '../../lib/train/train-config.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyModel } from '../fixtures/tiny-model.js';

const child = fileURLToPath(new URL('../fixtures/train-step-by-step.js', import.meta.url));
const folder = temporaryFolder(t);
const random = new RandomStream(2026, 'epoch');
const steps = 60; // far more than a run makes before its last kill
// What is stored differs by objective and by LoRA, the arithmetic by dtype: each value of either occurs, not each pair.
const variants: Record<string, { readonly config: TrainConfigInput; readonly kills: number }> = {
	sft: { config: { objective: { latent: null }, computeDtype: 'float32' }, kills: 6 },
	jepa: { config: { objective: { nextToken: null }, computeDtype: 'bfloat16' }, kills: 6 },
	'both, float32': { config: { computeDtype: 'float32' }, kills: 6 },
	'both, bfloat16': { config: { computeDtype: 'bfloat16' }, kills: 6 },
	lora: { config: { trainable: { kind: 'lora', rank: 4 }, computeDtype: 'bfloat16' }, kills: 6 },
};

t.before(async () => {
	await simulateCohort(join(folder, 'cohort'), { patients: 30, seed: 1 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
});

/** Runs the child and kills it with SIGKILL. @returns Whether it was still running, and whether it was writing. */
async function killOnce(
	run: string,
	config: string,
	when: 'any' | 'writing',
): Promise<{ killed: boolean; writing: boolean }> {
	const process_ = spawn(process.execPath, [child, run, join(folder, 'store'), config], {
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	const closed = new Promise<NodeJS.Signals | null>((resolve) => process_.on('close', (_, signal) => resolve(signal)));
	const stepsFirst = 1 + random.integer(4);
	await new Promise<void>((resolve) => {
		let seen = 0;
		process_.stdout.on('data', (text: Buffer) => {
			seen += text.toString().split('\n').length - 1;
			if (seen >= stepsFirst) resolve();
		});
		process_.on('close', () => resolve());
	});
	const unfinished = () => {
		try {
			return readdirSync(join(run, 'checkpoints')).some((name) => name.endsWith('.tmp'));
		} catch {
			return false;
		}
	};
	if (when === 'writing') {
		while (!unfinished() && process_.exitCode === null) await sleep(0);
	} else await sleep(random.integer(25));
	process_.kill('SIGKILL');
	return { killed: (await closed) === 'SIGKILL', writing: unfinished() };
}

let kills = 0;
let whileWriting = 0;
for (const [name, variant] of Object.entries(variants)) {
	t.test(
		`${name}: killed ${variant.kills} times, the run ends with the same bytes`,
		{ timeout: 180_000 },
		async (t) => {
			const config: TrainConfigInput = {
				model: { ...tinyModel, numHiddenLayers: 2 },
				...variant.config,
				contextTokens: 48,
				futureTokens: 24,
				tokensPerStep: 256,
				steps,
				checkpointEvery: 1,
				tuningEvery: 0,
				tuningBatches: 1,
				collapseEvery: 0,
			};
			const store = await openTokenStore(join(folder, 'store'));
			const straight = join(folder, 'straight');
			rmSync(straight, { recursive: true, force: true });
			{
				await using trainer = await Trainer.create(straight, store, config);
				for await (const _ of trainer.run(store));
			}
			const broken = join(folder, name.replaceAll(/\W/g, ''));
			for (let i = 0; i < variant.kills; i++) {
				const { killed, writing } = await killOnce(broken, JSON.stringify(config), i % 2 === 0 ? 'any' : 'writing');
				t.ok(killed, 'the run was still going');
				kills++;
				whileWriting += writing ? 1 : 0;
			}
			{
				await using trainer = await Trainer.resume(broken, store);
				t.ok(trainer.step < steps, `it goes on from step ${trainer.step}`);
				for await (const _ of trainer.run(store));
			}
			const checkpoint = (run: string, file: string) =>
				readFileSync(join(run, 'checkpoints', `step-${String(steps).padStart(8, '0')}`, file));
			for (const file of readdirSync(join(straight, 'checkpoints', `step-${String(steps).padStart(8, '0')}`))) {
				if (file === 'state.json') continue;
				t.ok(checkpoint(straight, file).equals(checkpoint(broken, file)), `${file} is the same byte for byte`);
			}
			const losses = async (run: string) =>
				(await (await RunFolder.open(run)).metrics()).flatMap((line) =>
					line.kind === 'train' ? [[line.step, line.nextTokenLoss, line.latentLoss]] : [],
				);
			t.same(await losses(broken), await losses(straight), 'every loss once, and the same');
			t.notOk(
				readdirSync(join(broken, 'checkpoints')).some((entry) => entry.endsWith('.tmp')),
				'no unfinished checkpoint stays',
			);
			await store.close();
		},
	);
}

t.test('30 moments, some of them in the middle of writing a checkpoint', async (t) => {
	t.equal(kills, 30);
	t.ok(whileWriting >= 6, `${whileWriting} kills left an unfinished checkpoint`);
});
