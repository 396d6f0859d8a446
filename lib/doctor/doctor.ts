import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { simulateCohort } from '../cohort/simulate.js';
import { cardOf, chooseDevice, type DeviceChoice, type OnDevice } from '../model/device.js';
import { nativeAddon, nativeCall } from '../native.js';
import { type ObjectivePreset, objectivePresets } from '../objective/objective.js';
import { packageVersion } from '../package-version.js';
import { prepareStore } from '../prepare/prepare.js';
import { openTokenStore, type TokenStore } from '../store/token-store.js';
import { planTraining } from '../train/plan.js';
import { RunFolder } from '../train/run-folder.js';
import type { TrainConfigInput } from '../train/train-config.js';
import { Trainer } from '../train/trainer.js';
import type { LongOperation } from '../types.js';
import { cardLimits } from './card-limits.js';
import { type Comparison, type DoctorReport, problemsOf, type ShortRun, shareOf, wishNames } from './report.js';

export interface DoctorOptions extends LongOperation, OnDevice {
	/** Small tensors and a few seconds of training, in place of a minute. */
	readonly quick?: boolean | undefined;
}

const tiny: TrainConfigInput = {
	model: {
		hiddenSize: 64,
		intermediateSize: 128,
		numHiddenLayers: 2,
		numAttentionHeads: 2,
		numKeyValueHeads: 1,
		headDim: 32,
	},
	contextTokens: 96,
	futureTokens: 48,
	tokensPerStep: 512,
	steps: 4,
	checkpointEvery: 2,
	tuningEvery: 0,
	collapseEvery: 2,
	computeDtype: 'float32',
};
/** float32 sums in another order differ by less; a wrong kernel by more. */
const lossLimit = 1e-4;

type Place = DeviceChoice['device'];

/**
 * Checks everything that a training needs on a device, against the CPU: ops against their references, a step of every
 * objective, a resume, a short run. Works in a temporary folder, on simulated patients.
 *
 * @throws {DeviceError} When the device is not to be had. {AbortedError}
 */
export async function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
	const { device, why } = chooseDevice(options.device ?? 'auto');
	const { signal, onProgress, quick = false } = options;
	const progress = (stage: string, done: number, total: number) => onProgress?.({ stage, done, total, unit: 'checks' });
	const addon = nativeAddon();
	const folder = await mkdtemp(join(tmpdir(), 'ehr-jepa-doctor-'));
	try {
		progress('ops', 0, 1);
		const checks = await nativeCall(() => addon.checkOps({ device, quick }));
		const card = cardOf(device);
		const limits = card === undefined ? null : cardLimits(card);
		const ops = checks.map((check) => ({ ...check, share: limits === null ? null : shareOf(check, limits) }));
		const cohort = join(folder, 'cohort');
		await simulateCohort(cohort, { patients: 60, seed: 1 }, { signal });
		await prepareStore(cohort, join(folder, 'store'), {}, { signal });
		await using store = await openTokenStore(join(folder, 'store'));
		const objectives: Comparison[] = [];
		const names = Object.keys(objectivePresets) as ObjectivePreset[];
		for (const [number, name] of names.entries()) {
			signal?.throwIfAborted();
			progress('objectives', number, names.length);
			objectives.push(await compareObjective(folder, store, name, device));
		}
		progress('resume', 0, 1);
		const resumes = await resumesToTheByte(folder, store, device);
		progress('short run', 0, 1);
		const run = await shortRun(folder, store, device, quick ? 3 : 60, signal);
		const { torch, cpuCapability } = addon.buildInfo();
		const found = {
			versions: { package: packageVersion, torch, node: process.versions.node, cpuCapability },
			device,
			why,
			devices: addon.devices(),
			limits,
			wishes: Object.fromEntries(wishNames.map((name) => [name, process.env[name] || null])) as DoctorReport['wishes'],
			ops,
			objectives,
			resumes,
			run,
		};
		const problems = problemsOf(found);
		return { agrees: problems.length === 0, problems, ...found };
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

/** Losses and gradient norms of the steps of a run, in a folder of its own. */
async function stepsOf(path: string, store: TokenStore, config: TrainConfigInput, device: Place): Promise<number[]> {
	await using trainer = await Trainer.create(path, store, config, { device, forbidWaits: true });
	const numbers: number[] = [];
	for await (const { loss, gradientNorm } of trainer.run(store)) numbers.push(loss, gradientNorm);
	return numbers;
}

async function compareObjective(
	folder: string,
	store: TokenStore,
	name: ObjectivePreset,
	device: Place,
): Promise<Comparison> {
	const config: TrainConfigInput = { ...tiny, steps: 2, objective: objectivePresets[name] };
	const expected = await stepsOf(join(folder, `${name}-host`), store, config, 'cpu');
	const found = await stepsOf(join(folder, `${name}-device`), store, config, device);
	const error = Math.max(...found.map((number, i) => Math.abs(number - expected[i]!) / Math.abs(expected[i]!)));
	return { name: `two steps of ${name}`, error, limit: lossLimit };
}

async function resumesToTheByte(folder: string, store: TokenStore, device: Place): Promise<boolean> {
	const config: TrainConfigInput = { ...tiny, objective: objectivePresets['smb-structure'] };
	const hashes = async (path: string) => {
		const checkpoint = (await (await RunFolder.open(path)).checkpoints()).at(-1)!.directory;
		const parts = ['encoder', 'target_encoder', 'predictor', 'optimizer'];
		return Promise.all(
			parts.map(async (part) =>
				createHash('sha256')
					.update(await readFile(join(checkpoint, `${part}.safetensors`)))
					.digest('hex'),
			),
		);
	};
	const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')];
	await stepsOf(whole, store, config, device);
	{
		await using trainer = await Trainer.create(broken, store, config, { device });
		for await (const { step } of trainer.run(store)) if (step === 2) break;
	}
	{
		await using trainer = await Trainer.resume(broken, store, { device });
		for await (const _ of trainer.run(store));
	}
	const [expected, found] = await Promise.all([hashes(whole), hashes(broken)]);
	return expected.join() === found.join();
}

async function shortRun(
	folder: string,
	store: TokenStore,
	device: Place,
	seconds: number,
	signal: AbortSignal | undefined,
): Promise<ShortRun> {
	const config: TrainConfigInput = {
		...tiny,
		steps: 1_000_000,
		checkpointEvery: 0,
		collapseEvery: 0,
		optimizer: { learningRate: 1e-3, warmupFraction: 0 },
	};
	const { memory } = await planTraining(config, store.vocabulary.size, { store });
	await using trainer = await Trainer.create(join(folder, 'short'), store, config, { device });
	const lines: { loss: number; tokensPerSecond: number; peakRssBytes: number }[] = [];
	const started = performance.now();
	for await (const line of trainer.run(store, { signal })) {
		lines.push(line);
		if (performance.now() - started > seconds * 1000 && lines.length >= 4) break;
	}
	const mean = (some: readonly { loss: number }[]) => some.reduce((sum, { loss }) => sum + loss, 0) / some.length;
	const quarter = Math.ceil(lines.length / 4);
	return {
		seconds: (performance.now() - started) / 1000,
		steps: lines.length,
		firstLoss: mean(lines.slice(0, quarter)),
		lastLoss: mean(lines.slice(-quarter)),
		tokensPerSecond: lines.map(({ tokensPerSecond }) => tokensPerSecond).sort((a, b) => a - b)[lines.length >> 1]!,
		plannedBytes: device === 'cpu' ? memory.peak : memory.peak - memory.process,
		peakBytes: cardOf(device)?.peak ?? Math.max(...lines.map(({ peakRssBytes }) => peakRssBytes)),
	};
}
