/** The stages of bench/data.ts: each does its work, checks it, and tells what it took. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { simulateCohort } from '../../lib/cohort/simulate.js';
import { quoted, withDatabase } from '../../lib/data/query.js';
import { prepareStore } from '../../lib/prepare/prepare.js';
import { PrepareOptions } from '../../lib/prepare/prepare-options.js';
import { prefetchBatches } from '../../lib/sample/prefetch.js';
import { Sampler, type SamplerOptions } from '../../lib/sample/sampler.js';
import { openTokenStore } from '../../lib/store/token-store.js';
import { splits, type TrainingBatch } from '../../lib/types.js';

/** What a stage took. */
export interface Measured {
	readonly wallSeconds: number;
	/** User and system, all threads. */
	readonly cpuSeconds: number;
	readonly peakMiB: number;
	/** `unit` per second of wall time. */
	readonly perSecond?: number;
	readonly unit?: string;
	/** Mean share of a batch that is filled. */
	readonly share?: number;
	readonly note?: string;
}

/** What a stage made, before it is known what it took; `check` throws when it is wrong. */
interface Done extends Pick<Measured, 'unit' | 'share' | 'note'> {
	readonly count?: number;
	readonly check: () => Promise<void> | void;
}

type Input = Readonly<Record<string, string | number>>;

function requireThat(holds: boolean, what: string): void {
	if (!holds) throw new Error(`[bench] ${what}`);
}

const samplerOptions: SamplerOptions = {
	contextTokens: 2200,
	futureTokens: 1100,
	tokensPerBatch: 3300,
	seed: 1,
	branches: { branch: { kind: 'query', at: 'day-ends' }, cuts: 2 },
};

function checkBatch({ tokens, cuSeqlens, positionIds, contextLengths, subjectIds }: TrainingBatch): void {
	const { tokensPerBatch } = samplerOptions;
	requireThat(tokens.length > 0 && tokens.length <= tokensPerBatch, `a batch holds ${tokens.length} tokens`);
	requireThat(cuSeqlens[0] === 0 && cuSeqlens.at(-1) === tokens.length, 'cu_seqlens spans the batch');
	requireThat(cuSeqlens.length === contextLengths.length + 1, 'a context length for each window');
	requireThat(subjectIds.length === contextLengths.length, 'a subject for each window');
	for (let i = 0; i < contextLengths.length; i++) {
		const [begin, end] = [cuSeqlens[i]!, cuSeqlens[i + 1]!];
		requireThat(contextLengths[i]! >= 1 && contextLengths[i]! < end - begin, 'a window has context and future');
		requireThat(positionIds[begin] === 0 && positionIds[end - 1] === end - begin - 1, 'positions restart');
	}
}

async function simulate({ out, patients, latentPatients }: Input): Promise<Done> {
	const folder = String(out);
	const summary = await simulateCohort(folder, { patients: Number(patients), latentPatients: Number(latentPatients) });
	return {
		count: summary.events,
		unit: 'events',
		note: `${summary.events} events, ${summary.deaths} deaths, ${readdirSync(join(folder, 'data/train')).length} shards a split`,
		check: () =>
			withDatabase({}, async (database) => {
				const [events] = await database.rows(
					`SELECT count(*)::DOUBLE AS n FROM read_parquet(${quoted(join(folder, 'data/*/*.parquet'))})`,
				);
				const [subjects] = await database.rows(
					`SELECT count(DISTINCT subject_id)::DOUBLE AS n FROM read_parquet(${quoted(join(folder, 'metadata/subject_splits.parquet'))})`,
				);
				requireThat(events?.n === summary.events, `${events?.n} rows are ${summary.events} events`);
				requireThat(subjects?.n === patients, `${subjects?.n} subjects are ${patients} patients`);
			}),
	};
}

async function prepare({ meds, out, tokenizer }: Input): Promise<Done> {
	const options = tokenizer === undefined ? {} : { tokens: { kind: 'text', tokenizer } };
	const manifest = await prepareStore(String(meds), String(out), PrepareOptions.parse(options));
	const total = (key: 'events' | 'tokens' | 'patients') =>
		splits.reduce((sum, split) => sum + manifest.splits[split][key], 0);
	return {
		count: total('events'),
		unit: 'events',
		note: `${total('events')} events became ${total('tokens')} tokens of ${total('patients')} patients`,
		check: () =>
			withDatabase({}, async (database) => {
				const [events] = await database.rows(
					`SELECT count(*)::DOUBLE AS n FROM read_parquet(${quoted(join(String(meds), 'data/**/*.parquet'))})`,
				);
				requireThat(events?.n === total('events'), `${events?.n} rows are ${total('events')} events`);
			}),
	};
}

async function open({ store: directory }: Input): Promise<Done> {
	const store = await openTokenStore(String(directory));
	return {
		note: `${store.manifest.splits.train.patients} training patients`,
		check: async () => {
			for (const split of splits)
				requireThat(store.split(split).size === store.manifest.splits[split].patients, `${split} holds its patients`);
			await store.close();
		},
	};
}

async function sample({ store: directory, steps }: Input): Promise<Done> {
	const store = await openTokenStore(String(directory));
	const batches: TrainingBatch[] = [];
	for await (const batch of new Sampler(store, 'train', samplerOptions).batches(1, Number(steps))) batches.push(batch);
	const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
	return {
		count: Number(steps),
		unit: 'steps',
		note: `${tokens} tokens in ${batches.length} batches`,
		check: async () => {
			for (const batch of batches) checkBatch(batch);
			await store.close();
		},
	};
}

async function fill({ store: directory, steps }: Input): Promise<Done> {
	const store = await openTokenStore(String(directory));
	const sampler = new Sampler(store, 'train', samplerOptions);
	const lengths: number[] = [];
	for await (const batch of sampler.batches(1, Number(steps))) {
		checkBatch(batch);
		lengths.push(batch.tokens.length);
	}
	const sums = { drawn: 0, shortened: 0, unplaced: 0, passedOver: 0 };
	for (let pool = 0; 64 * pool < Number(steps); pool++) {
		const { counts } = await sampler.pool(pool);
		for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += counts[key];
	}
	const { tokensPerBatch } = samplerOptions;
	const share = lengths.reduce((sum, length) => sum + length, 0) / lengths.length / tokensPerBatch;
	const least = Math.min(...lengths) / tokensPerBatch;
	return {
		count: lengths.length,
		unit: 'steps',
		share,
		note: `mean ${(100 * share).toFixed(2)} %, least ${(100 * least).toFixed(2)} %; ${JSON.stringify(sums)}`,
		check: () => store.close(),
	};
}

/** A consumer that takes `stepMs` for each batch: what it waits for them. */
async function wait({ store: directory, steps, stepMs }: Input): Promise<Done> {
	const waits: number[] = [];
	let asked = performance.now();
	const options = { ...samplerOptions, branches: null };
	for await (const batch of prefetchBatches({ directory: String(directory) }, 'train', options, 1, Number(steps))) {
		waits.push(performance.now() - asked);
		checkBatch(batch);
		await setTimeout(Number(stepMs));
		asked = performance.now();
	}
	const [first, ...later] = waits as [number, ...number[]];
	const mean = later.reduce((sum, value) => sum + value, 0) / later.length;
	return {
		note: `steps of ${stepMs} ms wait ${mean.toFixed(3)} ms on average, ${Math.max(...later).toFixed(1)} at most; the first waits ${first.toFixed(0)} ms`,
		check: () => requireThat(waits.length === steps, `${waits.length} batches are ${steps}`),
	};
}

export const stages = { simulate, prepare, open, sample, fill, wait } as const;
export type Stage = keyof typeof stages;

const asked = process.env.EHR_JEPA_BENCH_STAGE;
if (asked !== undefined) {
	const { stage, input } = JSON.parse(asked) as { stage: Stage; input: Input };
	const before = process.cpuUsage();
	const started = performance.now();
	const { check, count, ...rest } = await stages[stage](input);
	const wallSeconds = (performance.now() - started) / 1000;
	const { user, system } = process.cpuUsage(before);
	// Before the check, whose memory is not the stage's.
	const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
	await check();
	const measured: Measured = {
		...rest,
		wallSeconds,
		cpuSeconds: (user + system) / 1e6,
		peakMiB,
		...(count === undefined ? {} : { perSecond: count / wallSeconds }),
	};
	process.send?.(measured);
	process.disconnect?.();
}
