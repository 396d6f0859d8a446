import { dirname } from 'node:path';
import { AbortedError } from '../errors.js';
import { writeHeldOutLosses } from '../evaluate/held-out-losses.js';
import type { EvaluationSamples } from '../evaluate/samples.js';
import { exists } from '../files/exists.js';
import { makeFolder } from '../files/whole.js';
import type { Device } from '../model/device.js';
import { objectivePresets } from '../objective/objective.js';
import { embedRun } from '../pipeline/embed-run.js';
import { isTrained, trainRun } from '../pipeline/train-run.js';
import type { TokenStore } from '../store/token-store.js';
import type { LongOperation } from '../types.js';
import { type ComparisonOptions, readingName, type StudyModel } from './options.js';
import type { StudyFolder } from './study-folder.js';

/** A file to be made. */
export interface Work {
	readonly name: string;
	/** In steps of training, so that progress over all of them has one rate. */
	readonly cost: number;
	readonly isWhole: () => Promise<boolean>;
	/** @param report - Told of the share that is done. */
	readonly make: (operation: LongOperation, report: (share: number, note?: string) => void) => Promise<void>;
}

/** A pass over the index dates: a forward pass is a third of a step; the probes of a model cost about as much as its states. */
export function readingCost(config: ComparisonOptions, { indexDates }: EvaluationSamples): number {
	return Math.ceil((indexDates.length * config.contextTokens) / config.tokensPerStep / 3);
}

/** What makes the states of one encoder: its training and its losses on held-out windows, unless it is untrained, and the embedding. */
export function encoderWork(
	files: StudyFolder,
	config: ComparisonOptions,
	seed: number,
	{ name, kind }: StudyModel,
	data: { readonly store: TokenStore; readonly samples: EvaluationSamples; readonly device?: Device | undefined },
): Work[] {
	const { store, samples, device } = data;
	const { pooling, layers } = config;
	const run = files.run(seed, kind === 'encoder' ? name : config.variants[0]!);
	const embeddings = files.embeddings(seed, name, readingName(config));
	const states: Work = {
		name: `seed ${seed}, ${name}: states`,
		cost: readingCost(config, samples),
		isWhole: () => exists(embeddings),
		make: async (operation, report) => {
			await embedRun(
				await placeFor(embeddings),
				run,
				store,
				{ list: samples.taskList, indexDates: samples.indexDates },
				{
					...operation,
					device,
					pooling,
					layers,
					weights: kind === 'encoder' ? 'newest' : 'initial',
					onProgress: ({ done, total }) => report(done / (total ?? done)),
				},
			);
		},
	};
	if (kind !== 'encoder') return [states];
	const losses = files.losses(seed, name);
	return [
		{
			name: `seed ${seed}, ${name}: training`,
			cost: config.steps,
			isWhole: () => isTrained(run),
			make: (operation, report) =>
				trainRun(run, store, trainConfigOf(config, name as keyof typeof objectivePresets, seed), {
					...operation,
					device,
					onProgress: ({ done, note }) => report(done / config.steps, note),
				}),
		},
		{
			name: `seed ${seed}, ${name}: held-out losses`,
			cost: 1,
			isWhole: () => exists(losses),
			make: async ({ signal }) =>
				writeHeldOutLosses(await placeFor(losses), run, store, config.seed, { signal, device }),
		},
		states,
	];
}

/** Makes what is not whole yet. @param stage - Whose progress it is, and whose name an interruption has. */
export async function doWork(stage: string, work: readonly Work[], operation: LongOperation): Promise<void> {
	const missing: Work[] = [];
	for (const one of work) if (!(await one.isWhole())) missing.push(one);
	const total = work.reduce((sum, { cost }) => sum + cost, 0);
	let done = total - missing.reduce((sum, { cost }) => sum + cost, 0);
	const report = (name: string, extra: number, note?: string) =>
		operation.onProgress?.({
			stage,
			done: Math.round(done + extra),
			total,
			unit: 'steps',
			note: note === undefined ? name : `${name}, ${note}`,
		});
	for (const { name, cost, make } of missing) {
		if (operation.signal?.aborted) throw new AbortedError(`[${stage}] aborted`, { cause: operation.signal.reason });
		report(name, 0);
		await make(
			{ signal: operation.signal, onWarning: (message) => operation.onWarning?.(`${name}: ${message}`) },
			(share, note) => report(name, share * cost, note),
		);
		done += cost;
		report(name, 0);
	}
}

/** The same for every variant of a seed but the objective. */
function trainConfigOf(config: ComparisonOptions, variant: keyof typeof objectivePresets, seed: number) {
	const { model, nextTokenOn, contextTokens, futureTokens, tokensPerStep, steps, optimizer } = config;
	const objective = objectivePresets[variant];
	return {
		seed,
		model,
		objective: { ...objective, nextToken: objective.nextToken && { on: nextTokenOn } },
		contextTokens,
		futureTokens,
		tokensPerStep,
		steps,
		optimizer,
		// Of all runs, whichever machine makes them or goes on with them.
		computeDtype: 'float32' as const,
		// Curves with twenty readings are enough here; more of them cost a tenth of the training.
		collapseEvery: Math.ceil(steps / 20),
		tuningEvery: Math.ceil(steps / 5),
		keepCheckpoints: 1,
	};
}

export async function placeFor(file: string): Promise<string> {
	await makeFolder(dirname(file));
	return file;
}
