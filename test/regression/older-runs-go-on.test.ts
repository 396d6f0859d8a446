/** A run from before an option existed goes on with the same bytes; one that says something else does not. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, RunFolder, type TokenStore, Trainer } from '../../lib/index.js';
import { nativeAddon } from '../../lib/native.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

const config = {
	model: tinyModel,
	contextTokens: 32,
	futureTokens: 16,
	tokensPerStep: 64,
	threads: 1,
	steps: 4,
	tuningBatches: 1,
	instruments: null,
	collapseEvery: 0,
	computeDtype: 'float32',
} as const;

let folder: string;
let store: TokenStore;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await openTokenStore(await prepareTinyStore(folder));
	await train(await Trainer.create(join(folder, 'begun'), store, config), 2);
});
t.teardown(() => store.close());

async function train(trainer: Trainer, until = Number.POSITIVE_INFINITY): Promise<void> {
	await using _ = trainer;
	for await (const { step } of trainer.run(store)) if (step === until) break;
}

/** A run with a checkpoint after two of its four steps. */
function begun(name: string): string {
	const run = join(folder, name);
	cpSync(join(folder, 'begun'), run, { recursive: true });
	return run;
}

/** Bytes of every file of the last checkpoint but state.json, by name. */
function bytesOf(run: string): Record<string, string> {
	const checkpoint = join(run, 'checkpoints', 'step-00000004');
	const names = readdirSync(checkpoint).filter((name) => name !== 'state.json');
	return Object.fromEntries(names.map((name) => [name, readFileSync(join(checkpoint, name)).toString('base64')]));
}

type Json = Record<string, unknown>;
function change(file: string, edit: (json: Json) => void): void {
	const json = JSON.parse(readFileSync(file, 'utf8')) as Json;
	edit(json);
	writeFileSync(file, JSON.stringify(json));
}
const configFile = (run: string) => join(run, 'config.json');
const stateFile = (run: string) => join(run, 'checkpoints', 'step-00000002', 'state.json');
const trainOf = (json: Json) => ((json.run as Json | undefined) ?? json).train as Json;

/** What each version added since the first one. */
const later = [
	...['activationCheckpointing', 'parameterDtype', 'computeDtype', 'checkpointCopy', 'keepCheckpointEvery'],
	...['microBatches', 'trainable', 'initialWeights', 'deterministic', 'optimizer.updateInBackward', 'optimizer.clipBy'],
	...['optimizer.matrixUpdate', 'optimizer.muonMomentum'],
	'instruments',
	...['objective.latent.cuts', 'objective.latent.antiCollapse', 'objective.latent.interferenceEvery'],
];

function without(json: Json, paths: readonly string[]): void {
	for (const path of paths) {
		const names = path.split('.');
		const last = names.pop()!;
		let place: Json | undefined = trainOf(json);
		for (const name of names) place = place?.[name] as Json | undefined;
		if (place === undefined || !(last in place)) throw new Error(`${path} is no option of a run`);
		delete place[last];
	}
}

t.test('options that are missing are what they were before they existed', async (t) => {
	const straight = join(folder, 'straight');
	await train(await Trainer.create(straight, store, config));
	const expected = bytesOf(straight);
	// On a machine whose default is another one now.
	t.capture(nativeAddon(), 'buildInfo', () => ({ torch: 'x', multipliesBfloat16: true }));
	for (const [name, files] of [
		['in both files', [configFile, stateFile]],
		['in config.json', [configFile]],
		['in the checkpoint', [stateFile]],
	] as const) {
		const run = begun(name);
		for (const file of files) change(file(run), (json) => without(json, later));
		const opened = await RunFolder.open(run);
		t.equal(opened.config.train.computeDtype, 'float32');
		if (name !== 'in the checkpoint') t.equal(opened.config.train.instruments, null);
		await train(await Trainer.resume(run, store));
		t.same(bytesOf(run), expected, `${name}: the same weights, moments and EMA`);
	}
});

t.test('options that are unknown, impossible or contradict each other are refused', async (t) => {
	for (const [name, edit, message] of [
		['unknown', (train: Json) => Object.assign(train, { later: 1 }), /train has no option "later"/],
		['impossible', (train: Json) => Object.assign(train, { computeDtype: 'int8' }), /computeDtype.*but it is "int8"/],
		[
			'contradictory',
			(train: Json) =>
				Object.assign(train, { microBatches: 2, optimizer: { updateInBackward: true, clipBy: 'parameter' } }),
			/updateInBackward must be off|must be off with more than one of microBatches/,
		],
	] as const) {
		const run = begun(name);
		change(configFile(run), (json) => edit(trainOf(json)));
		await t.rejects(Trainer.resume(run, store), { code: 'EHR_JEPA_CONFIG', message }, name);
	}
	const other = begun('another');
	change(stateFile(other), (json) => Object.assign(trainOf(json), { seed: 2 }));
	await t.rejects(Trainer.resume(other, store), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /train\.seed is 2, in config\.json it is 1/,
	});
	const removed = begun('removed');
	change(configFile(removed), (json) => without(json, ['steps']));
	await t.rejects(Trainer.resume(removed, store), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /train\.steps is 4, in config\.json it is 400/,
	});
});
