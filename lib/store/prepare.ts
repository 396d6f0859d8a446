import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { makeVector, type RecordBatch, RecordBatchFileWriter, Table, tableToIPC } from 'apache-arrow';
import { z } from 'zod';
import { fraction, parseConfig, positiveInteger, seed } from '../config.js';
import { loadCodes, streamEvents } from '../data/events.js';
import { type MedsDataset, openMeds } from '../data/meds.js';
import { type Database, quoted, withDatabase } from '../data/query.js';
import { writeWhole, writeWholeFolder } from '../data/whole-file.js';
import { DataError, VocabularyError } from '../errors.js';
import { packageVersion } from '../package-version.js';
import { fitVocabulary } from '../tokenizer/fit-vocabulary.js';
import { Vocabulary } from '../tokenizer/vocabulary.js';
import { type CohortFlowRow, type LongOperation, type Split, splits, type Timeline } from '../types.js';
import type { SplitCounts, StoreManifest } from './manifest.js';
import { timelineBatch } from './timeline-arrow.js';
import { emptyCounts, TimelineBuilder, type TokenCounts } from './timeline-builder.js';

export const PrepareOptions = z.strictObject({
	/** An existing vocabulary.json; absent: one is fitted on the train split. */
	vocabulary: z.string().optional(),
	/** Codes that fewer training patients have are grouped by prefix. */
	minPatients: positiveInteger.default(5),
	bins: z.int().min(2).max(100).default(10),
	/** Draws splits where the data set brings none. */
	seed: seed.default(1),
	/** Largest share of events whose code a given vocabulary does not know at all. */
	maxUnknown: fraction.default(0.2),
});
export type PrepareOptions = z.input<typeof PrepareOptions>;

// Tokens of one record batch: the unit that is read from disk.
const tokensPerBatch = 1_000_000;

/**
 * Tokenises a MEDS data set into a token store: one Arrow file and one index per split, `vocabulary.json`, `manifest.json`.
 *
 * @param out - New or empty folder; appears whole or not at all.
 * @throws {DataError} {VocabularyError} {ConfigError} {OutputError} {AbortedError}
 */
export async function prepareStore(
	meds: string,
	out: string,
	options: PrepareOptions = {},
	operation: LongOperation = {},
): Promise<StoreManifest> {
	const config = parseConfig('prepare', PrepareOptions, options);
	return writeWholeFolder(out, async (folder) => {
		const dataset = await openMeds(meds, config.seed);
		if (dataset.subjects.train.length === 0) {
			throw new DataError('prepare', {
				file: 'metadata/subject_splits.parquet',
				rule: 'must put at least one subject with events in train',
				value: 'none',
			});
		}
		return withDatabase({}, async (database) => {
			const codes = await loadCodes(database, dataset);
			const vocabulary =
				config.vocabulary === undefined
					? await fitVocabulary(database, dataset, config)
					: await Vocabulary.read(config.vocabulary);
			const run = new StoreWriter(database, dataset, vocabulary, codes, folder, operation);
			const manifest = await run.write(config.maxUnknown);
			await writeWhole(join(folder, 'vocabulary.json'), `${JSON.stringify(vocabulary.file, undefined, '\t')}\n`);
			await writeWhole(join(folder, 'manifest.json'), `${JSON.stringify(manifest, undefined, '\t')}\n`);
			return manifest;
		});
	});
}

class StoreWriter {
	readonly #database: Database;
	readonly #dataset: MedsDataset;
	readonly #vocabulary: Vocabulary;
	readonly #codes: readonly string[];
	readonly #folder: string;
	readonly #operation: LongOperation;
	#eventsDone = 0;

	constructor(
		database: Database,
		dataset: MedsDataset,
		vocabulary: Vocabulary,
		codes: readonly string[],
		folder: string,
		operation: LongOperation,
	) {
		this.#database = database;
		this.#dataset = dataset;
		this.#vocabulary = vocabulary;
		this.#codes = codes;
		this.#folder = folder;
		this.#operation = operation;
	}

	async write(maxUnknown: number): Promise<StoreManifest> {
		const total = emptyCounts();
		const counts: Partial<Record<Split, SplitCounts>> = {};
		for (const split of splits) {
			const { split: splitCounts, tokens } = await this.#writeSplit(split);
			counts[split] = splitCounts;
			for (const key of Object.keys(total) as (keyof TokenCounts)[]) total[key] += tokens[key];
		}
		const unknownShare = total.unknown / Math.max(1, total.events);
		if (unknownShare > maxUnknown) {
			throw new VocabularyError(
				`[prepare] codes must be known to the vocabulary for all but ${(100 * maxUnknown).toFixed(0)} % of the events but ${(100 * unknownShare).toFixed(1)} % are unknown; ` +
					`it was fitted on "${this.#vocabulary.file.dataset}" (ETL ${this.#vocabulary.file.etl.name} ${this.#vocabulary.file.etl.version}). Fit one on this data set, or raise maxUnknown`,
			);
		}
		const splitCounts = counts as Record<Split, SplitCounts>;
		const fingerprint = createHash('sha256')
			.update(`${this.#dataset.fingerprint}\0${this.#vocabulary.fingerprint}`)
			.digest('hex');
		return {
			format: 'ehr-jepa/token-store',
			version: 1,
			package: packageVersion,
			dataset: { name: this.#dataset.name, fingerprint: this.#dataset.fingerprint, etl: this.#dataset.etl },
			vocabulary: { fingerprint: this.#vocabulary.fingerprint, size: this.#vocabulary.size },
			fingerprint,
			splits: splitCounts,
			coverage: { ...total, textOnly: await this.#textOnlyRows() },
			cohortFlow: this.#cohortFlow(splitCounts, total),
			notes: [...this.#dataset.notes],
		};
	}

	async #writeSplit(split: Split): Promise<{ split: SplitCounts; tokens: TokenCounts }> {
		const builder = new TimelineBuilder(this.#vocabulary, this.#codes);
		const index = {
			subjectIds: [] as bigint[],
			batches: [] as number[],
			rows: [] as number[],
			tokens: [] as number[],
			days: [] as number[],
		};
		const batches = this.#batches(split, builder, (timeline, batch, row) => {
			index.subjectIds.push(timeline.subjectId);
			index.batches.push(batch);
			index.rows.push(row);
			index.tokens.push(timeline.tokens.length);
			index.days.push(timeline.days.length);
		});
		const writer = new RecordBatchFileWriter();
		const written = pipeline(writer.toNodeStream(), createWriteStream(join(this.#folder, `${split}.arrow`)));
		written.catch(() => {}); // surfaces where it is awaited below
		try {
			for await (const batch of batches) writer.write(batch);
		} finally {
			writer.finish();
		}
		await written;
		const table = new Table({
			subject_id: makeVector(BigInt64Array.from(index.subjectIds)),
			batch: makeVector(Int32Array.from(index.batches)),
			row: makeVector(Int32Array.from(index.rows)),
			tokens: makeVector(Int32Array.from(index.tokens)),
			days: makeVector(Int32Array.from(index.days)),
		});
		await pipeline([tableToIPC(table, 'file')], createWriteStream(join(this.#folder, `${split}.index.arrow`)));
		const lengths = [...index.tokens].sort((a, b) => a - b);
		const at = (share: number) => lengths[Math.round(share * (lengths.length - 1))] ?? 0;
		return {
			tokens: builder.counts,
			split: {
				patients: index.subjectIds.length,
				trainable: index.days.filter((days) => days >= 2).length,
				events: builder.counts.events,
				tokens: index.tokens.reduce((sum, count) => sum + count, 0),
				days: index.days.reduce((sum, count) => sum + count, 0),
				lengthPercentiles: { p0: at(0), p25: at(0.25), p50: at(0.5), p75: at(0.75), p90: at(0.9), p100: at(1) },
			},
		};
	}

	async *#batches(
		split: Split,
		builder: TimelineBuilder,
		onTimeline: (timeline: Timeline, batch: number, row: number) => void,
	): AsyncGenerator<RecordBatch> {
		let pending: Timeline[] = [];
		let pendingTokens = 0;
		let batch = 0;
		const take = (timeline: Timeline) => {
			onTimeline(timeline, batch, pending.length);
			pending.push(timeline);
			pendingTokens += timeline.tokens.length;
		};
		const flush = () => {
			const result = timelineBatch(pending);
			pending = [];
			pendingTokens = 0;
			batch++;
			return result;
		};
		for await (const chunk of streamEvents(this.#database, this.#dataset, split, this.#operation.signal)) {
			for (const timeline of builder.add(chunk)) {
				take(timeline);
				if (pendingTokens >= tokensPerBatch) yield flush();
			}
			this.#eventsDone += chunk.count;
			this.#operation.onProgress?.({
				stage: 'tokenise',
				done: this.#eventsDone,
				total: this.#dataset.events,
				unit: 'events',
			});
			await setImmediate();
		}
		for (const timeline of builder.finish()) take(timeline);
		// An empty split still is a file with a schema.
		if (pending.length > 0 || batch === 0) yield flush();
	}

	async #textOnlyRows(): Promise<number> {
		const files = this.#dataset.files.map(quoted).join(', ');
		const columns = await this.#database.rows(`DESCRIBE SELECT * FROM read_parquet([${files}], union_by_name = true)`);
		if (!columns.some((column) => column.column_name === 'text_value')) return 0;
		const [row] = await this.#database.rows(
			`SELECT count(*)::INTEGER AS n FROM read_parquet([${files}], union_by_name = true) WHERE numeric_value IS NULL AND text_value IS NOT NULL`,
		);
		return Number(row?.n ?? 0);
	}

	#cohortFlow(counts: Readonly<Record<Split, SplitCounts>>, total: TokenCounts): CohortFlowRow[] {
		const all = Object.values(counts);
		const sum = (key: 'patients' | 'trainable' | 'events' | 'tokens') =>
			all.reduce((result, split) => result + split[key], 0);
		const outside = this.#dataset.events - sum('events');
		return [
			{
				stage: 'MEDS data set',
				patients: sum('patients'),
				events: this.#dataset.events,
				...(outside > 0 ? { note: `${outside} events of subjects in no split are left out` } : {}),
			},
			{
				stage: 'tokenised',
				patients: sum('patients'),
				events: sum('events'),
				tokens: sum('tokens'),
				note: `${total.backed_off} events written as a code group, ${total.unknown} as [UNK], ${total.valuesWithoutBin} values without a bin, ${total.births} births kept as age`,
			},
			...splits.map((split) => ({
				stage: `split ${split}`,
				patients: counts[split].patients,
				events: counts[split].events,
				tokens: counts[split].tokens,
			})),
			{
				stage: 'trainable (train, at least 2 days)',
				patients: counts.train.trainable,
				note: `${counts.train.patients - counts.train.trainable} patients with a single day cannot be cut`,
			},
		];
	}
}
