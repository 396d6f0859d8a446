import { readdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '../config.js';
import { birthCandidates } from '../data/birth-candidates.js';
import { LifeCodes } from '../data/life-codes.js';
import { checkMedsRows, eventsSql, type MedsFiles, openMedsFiles } from '../data/meds.js';
import { withDatabase } from '../data/query.js';
import { splitsKey } from '../data/read-splits.js';
import type { SplitSource } from '../data/splits.js';
import { SubjectSplits } from '../data/subject-splits.js';
import { AbortedError, ConfigError, OutputError, VocabularyError } from '../errors.js';
import { exists } from '../files/exists.js';
import { sha256 } from '../files/hash.js';
import { lockTarget } from '../files/lock.js';
import { removeUnfinishedIn } from '../files/names.js';
import { sharedPartialFolder, writePartialFolder } from '../files/partial.js';
import { requirePath } from '../files/path.js';
import { makeFolder, writeWhole } from '../files/whole.js';
import { packageVersion } from '../package-version.js';
import type { StoreManifest } from '../store/manifest.js';
import { Serialiser } from '../text/serialiser.js';
import { ThreadPool } from '../threads/thread-pool.js';
import { CodeStatistics } from '../tokenizer/code-statistics.js';
import { fitVocabulary, quantileSampleSize } from '../tokenizer/fit-vocabulary.js';
import { QwenTokenizer } from '../tokenizer/qwen-tokenizer.js';
import { sharedContents } from '../tokenizer/shared-contents.js';
import { embeddingRows, TextVocabulary } from '../tokenizer/text-vocabulary.js';
import { Vocabulary } from '../tokenizer/vocabulary.js';
import type { LongOperation } from '../types.js';
import { assembleStore } from './assemble.js';
import { lostValueNotes } from './lost-values.js';
import { makePartFolders, readPartSummary } from './part-files.js';
import { type PrepareConfig, PrepareOptions } from './prepare-options.js';
import type { PrepareAnswer, PrepareTask, PrepareThreadData, TokenisePlan } from './prepare-tasks.js';
import { noTokens, noTraining, requireCoverage } from './refusals.js';
import { sum } from './summary.js';
import { type Survey, surveyEvents } from './survey.js';
import { copyTrueStates } from './true-states.js';

/**
 * Tokenises a MEDS data set into a token store: Arrow files and an index per split, `vocabulary.json`, `manifest.json`, for
 * text also the tokenizer. Threads read the data in parts of about a million events; nothing is sorted and memory does not
 * grow with the cohort.
 *
 * @param out - New or empty folder; appears whole or not at all. The same call continues a run
 *   that was killed or aborted.
 * @throws {DataError} {VocabularyError} {ConfigError} {OutputError} {AbortedError}
 */
export async function prepareStore(
	meds: string,
	out: string,
	options: PrepareOptions = {},
	operation: LongOperation = {},
): Promise<StoreManifest> {
	const { plan, at } = await planned(meds, out, options, operation);
	return writePartialFolder(out, plan, (folder) => at(folder).write(), operation);
}

/** One of several jobs that prepare a store together: `index` from 1 to `of`. */
export interface PrepareShard {
	readonly index: number;
	readonly of: number;
}

/**
 * Tokenises one of `of` shares of a data set, in a process of its own and on whichever machine sees the folders: {@link assembleStoreOfShards}
 * makes the store of all. A job that died is done again alone, and goes on where it was. Each reads the data set once more to
 * survey it, and the first of them fits the vocabulary for all.
 *
 * @param out - As of the store; the shards' work lies beside it in a hidden folder.
 * @returns How many parts of the data set the share has, and how many there are.
 * @throws As {@link prepareStore}.
 */
export async function prepareShard(
	meds: string,
	out: string,
	shard: PrepareShard,
	options: PrepareOptions = {},
	operation: LongOperation = {},
): Promise<{ readonly parts: number; readonly ofParts: number }> {
	const { index, of } = shard;
	if (!(Number.isSafeInteger(of) && Number.isSafeInteger(index) && index >= 1 && index <= of && of <= 100_000))
		throw new ConfigError(
			`[prepare] the shard must be i/n with i from 1 to n, whole numbers up to 100000, but is ${index}/${of}`,
		);
	const { plan, at } = await planned(meds, out, options, operation);
	using _lock = lockTarget(`${out}.shard-${index}-of-${of}`);
	return at(await sharedPartialFolder(out, plan)).writeShard(shard);
}

/**
 * Makes the store of shards that are all done: the same bytes as of {@link prepareStore}.
 *
 * @throws {OutputError} When one is missing: names it. What the others did stays.
 */
export async function assembleStoreOfShards(
	meds: string,
	out: string,
	options: PrepareOptions = {},
	operation: LongOperation = {},
): Promise<StoreManifest> {
	const { plan, at } = await planned(meds, out, options, operation);
	return writePartialFolder(out, plan, (folder) => at(folder).write({ tokenised: true }), {
		...operation,
		begun: true,
	});
}

async function planned(meds: string, out: string, options: PrepareOptions, operation: LongOperation) {
	requirePath('prepare', 'meds', meds);
	requirePath('prepare', 'out', out);
	const config = parseConfig('prepare', PrepareOptions, options);
	const dataset = await openMedsFiles(meds);
	const given = await givenTokens(config);
	const { threads: _, ...decisive } = config;
	const plan = JSON.stringify({
		version: 4,
		package: packageVersion,
		data: dataset.fingerprint,
		splits: await splitsKey(meds),
		...decisive,
		...given.key,
	});
	return {
		plan: sha256(plan),
		at: (folder: string) => new Preparation(config, dataset, given, folder, operation),
	};
}

/** Folder of what a shard needs for itself. */
const shardFolder = (folder: string, { index, of }: PrepareShard) => join(folder, 'shards', `${index}-of-${of}`);

/** What was read of files that the options name. */
interface GivenTokens {
	readonly vocabulary: Vocabulary | undefined;
	readonly tokenizer: QwenTokenizer | undefined;
	/** Their fingerprints. */
	readonly key: object;
}

async function givenTokens({ tokens }: PrepareConfig): Promise<GivenTokens> {
	if (tokens.kind === 'structured') {
		if (tokens.vocabulary === undefined) return { vocabulary: undefined, tokenizer: undefined, key: {} };
		const vocabulary = await Vocabulary.read(tokens.vocabulary);
		return { vocabulary, tokenizer: undefined, key: { vocabulary: vocabulary.fingerprint } };
	}
	if (tokens.serialiser.timeBins !== undefined)
		throw new ConfigError(
			'[prepare] tokens.serialiser.timeBins must be absent in a token store, whose days are cut at any index date, but is given; leave it out',
		);
	const tokenizer = await QwenTokenizer.fromPretrained(tokens.tokenizer);
	if (!tokenizer.cutsLines)
		throw new VocabularyError(
			`[prepare] ${tokens.tokenizer} must split text as Qwen's tokenizers do, so that days can be encoded one by one, but its pre_tokenizer is another; give the folder of a Qwen2, Qwen2.5 or Qwen3 model`,
		);
	return { vocabulary: undefined, tokenizer, key: { tokenizer: tokenizer.sha256 } };
}

// A reader makes and forgets objects by the million: with V8's default of 16 MiB a sixth of its time was garbage collection.
const resourceLimits = { maxYoungGenerationSizeMb: 64 };
type PreparePool = ThreadPool<PrepareTask, PrepareAnswer>;

class Preparation {
	readonly #config: PrepareConfig;
	readonly #lifeCodes: LifeCodes;
	readonly #dataset: MedsFiles;
	readonly #given: GivenTokens;
	readonly #folder: string;
	readonly #operation: LongOperation;

	constructor(config: PrepareConfig, dataset: MedsFiles, given: GivenTokens, folder: string, operation: LongOperation) {
		this.#config = config;
		this.#lifeCodes = new LifeCodes(config.lifeCodes);
		this.#dataset = dataset;
		this.#given = given;
		this.#folder = folder;
		this.#operation = operation;
	}

	/** @param options.tokenised - Whether shards have done that. */
	async write({ tokenised = false } = {}): Promise<StoreManifest> {
		const { survey, splits, notes } = await this.#survey(this.#folder);
		if (tokenised) {
			await this.#requireParts(survey);
			// Not before: a shard that is still at work has files that are not finished.
			await removeUnfinishedIn(this.#folder);
		}
		const { source } = splits.shared;
		const vocabulary = await this.#withThreads(survey, splits, survey.parts, async (pool) => {
			const found = await this.#vocabulary(survey, pool, source);
			await this.#tokenise(survey, pool, await this.#plan(found), survey.parts.keys());
			return found;
		});
		notes.push(...lostValueNotes(survey.forms, vocabulary));
		const manifest = await assembleStore({
			folder: this.#folder,
			dataset: this.#dataset,
			vocabulary,
			parts: survey.parts.length,
			codes: survey.codes,
			textOnly: survey.textOnly,
			splitSource: source,
			subjectsNamed: splits.named,
			lifeCodes: this.#lifeCodes,
			birthCandidates: () =>
				withDatabase({ memoryLimit: '1GB' }, (database) =>
					birthCandidates(database, eventsSql(this.#dataset), this.#lifeCodes),
				),
			notes,
		});
		if (manifest.splits.train.patients === 0) throw noTraining(source);
		if (manifest.splits.train.tokens === 0) throw noTokens(manifest);
		await writeWhole(join(this.#folder, 'vocabulary.json'), `${JSON.stringify(vocabulary.file, undefined, '\t')}\n`);
		await this.#given.tokenizer?.save(join(this.#folder, 'tokenizer'));
		await copyTrueStates(this.#folder, this.#dataset, this.#operation.onWarning);
		await writeWhole(join(this.#folder, 'manifest.json'), `${JSON.stringify(manifest, undefined, '\t')}\n`);
		await rm(join(this.#folder, 'parts'), { recursive: true });
		await rm(join(this.#folder, 'names.parquet'));
		await rm(join(this.#folder, 'shards'), { recursive: true, force: true });
		return manifest;
	}

	async writeShard(shard: PrepareShard): Promise<{ readonly parts: number; readonly ofParts: number }> {
		const own = shardFolder(this.#folder, shard);
		await makeFolder(own);
		const { survey, splits } = await this.#survey(own);
		const numbers = [...survey.parts.keys()].filter((number) => number % shard.of === shard.index - 1);
		await this.#withThreads(survey, splits, numbers, async (pool) => {
			const vocabulary = await this.#vocabulary(survey, pool, splits.shared.source);
			await this.#tokenise(survey, pool, await this.#plan(vocabulary), numbers);
		});
		return { parts: numbers.length, ofParts: survey.parts.length };
	}

	/** @param names - Folder for the strings that become numbers. */
	async #survey(names: string) {
		await makePartFolders(this.#folder);
		const notes = [...this.#dataset.notes];
		const found = await withDatabase({ memoryLimit: '1GB' }, async (database) => {
			notes.push(...(await checkMedsRows(database, this.#dataset, this.#operation)).notes);
			return {
				splits: await SubjectSplits.read(database, this.#dataset, notes),
				survey: await surveyEvents(database, this.#dataset, names, this.#config),
			};
		});
		if (!found.splits.mayHold('train')) throw noTraining(found.splits.shared.source);
		this.#throwIfAborted();
		return { ...found, notes };
	}

	async #withThreads<T>(
		survey: Survey,
		splits: SubjectSplits,
		{ length }: { readonly length: number },
		work: (pool: PreparePool) => Promise<T>,
	): Promise<T> {
		const count = Math.max(1, Math.min(this.#config.threads ?? availableParallelism(), length));
		const pool = this.#threads(count, { source: survey.source, splits: splits.shared });
		try {
			return await work(pool);
		} finally {
			await pool.close();
		}
	}

	/** @throws {OutputError} For parts that no shard has done: names the shards. */
	async #requireParts({ parts }: Survey): Promise<void> {
		const missing: number[] = [];
		for (const number of parts.keys())
			if ((await readPartSummary(this.#folder, number)) === undefined) missing.push(number);
		if (missing.length === 0) return;
		const begun = await readdir(join(this.#folder, 'shards')).catch(() => []);
		const of = Number(/-of-(\d+)$/.exec(begun[0] ?? '')?.[1] ?? 1);
		const shards = [...new Set(missing.map((number) => `${(number % of) + 1}/${of}`))];
		throw new OutputError(
			`[prepare] all ${parts.length} parts must be there to be assembled but ${missing.length} ${missing.length === 1 ? 'is' : 'are'} not; run --shard ${shards.slice(0, 10).join(', --shard ')}${shards.length > 10 ? ', ...' : ''}`,
		);
	}

	#threads(count: number, shared: Pick<PrepareThreadData, 'source' | 'splits'>): PreparePool {
		const data: PrepareThreadData = { ...shared, lifeCodes: this.#config.lifeCodes, folder: this.#folder };
		const script = new URL('./prepare-worker.js', import.meta.url);
		return new ThreadPool(count, { scope: 'prepare', script, data, signal: this.#operation.signal, resourceLimits });
	}

	async #vocabulary(survey: Survey, pool: PreparePool, splitSource: SplitSource): Promise<Vocabulary | TextVocabulary> {
		const { tokens } = this.#config;
		const { name, etl, fingerprint } = this.#dataset;
		if (tokens.kind === 'text') {
			const tokenizer = this.#given.tokenizer!;
			const size = await embeddingRows(tokenizer, tokens.vocabSize);
			return new TextVocabulary({
				format: 'ehr-jepa/text-vocabulary',
				version: 2,
				dataset: name,
				etl,
				dataFingerprint: fingerprint,
				tokenizer: tokenizer.sha256,
				size,
				maskTokenId: tokenizer.vocabularySize < size ? tokenizer.vocabularySize : null,
				specialTokens: tokens.specialTokens,
				serialiser: new Serialiser(tokens.serialiser).options,
			});
		}
		const given = this.#given.vocabulary;
		if (given !== undefined) {
			requireCoverage(given, survey, tokens.maxUnknown, this.#lifeCodes);
			return given;
		}
		// Fitted before a run was killed.
		const fitted = join(this.#folder, 'fitted.json');
		if (await exists(fitted)) return Vocabulary.read(fitted);
		const vocabulary = await this.#fit(survey, pool, tokens, splitSource);
		await writeWhole(fitted, JSON.stringify(vocabulary.file));
		return vocabulary;
	}

	async #fit(
		survey: Survey,
		pool: PreparePool,
		{ minPatients, bins }: Extract<PrepareConfig['tokens'], { readonly kind: 'structured' }>,
		splitSource: SplitSource,
	): Promise<Vocabulary> {
		const sampleSize = quantileSampleSize(survey.codesWithValues, survey.values);
		const options = { codes: survey.codes.length, minPatients, sampleSize };
		await pool.all({ kind: 'begin-fit', options });
		await pool.each(
			survey.parts.map((part) => ({ kind: 'fit', part })),
			this.#progress('fit vocabulary', sum(survey.events)),
		);
		const all = new CodeStatistics(options);
		for (const counted of await pool.all({ kind: 'end-fit' })) if (counted) all.addAll(counted);
		const data = all.data();
		if (data.events === 0) throw noTraining(splitSource);
		return fitVocabulary(data, { code: survey.codes, unit: survey.units }, this.#dataset, {
			minPatients,
			bins,
			sampleSize,
			lifeCodes: this.#lifeCodes,
		});
	}

	async #plan(vocabulary: Vocabulary | TextVocabulary): Promise<TokenisePlan> {
		if (vocabulary.kind === 'structured') return { kind: 'structured', vocabulary: vocabulary.file };
		const codes = join(this.#dataset.directory, 'metadata', 'codes.parquet');
		const { directory } = this.#given.tokenizer!.files;
		return {
			kind: 'text',
			serialiser: vocabulary.file.serialiser,
			specialTokens: vocabulary.file.specialTokens,
			descriptions: (await exists(codes)) ? codes : null,
			tokenizer: { directory, contents: sharedContents(this.#given.tokenizer!) },
		};
	}

	async #tokenise(survey: Survey, pool: PreparePool, plan: TokenisePlan, numbers: Iterable<number>): Promise<void> {
		const tasks = [];
		const parts = [...numbers].map((number) => ({ number, part: survey.parts[number]! }));
		const onEvents = this.#progress('tokenise', sum(parts.map(({ part }) => part.events)));
		for (const { number, part } of parts) {
			if ((await readPartSummary(this.#folder, number)) === undefined)
				tasks.push({ kind: 'tokenise', number, part } as const);
			else onEvents(part.events);
		}
		if (tasks.length === 0) return;
		await pool.all({ kind: 'begin-tokenise', plan });
		await pool.each(tasks, onEvents);
	}

	#progress(stage: string, total: number): (events: number) => void {
		let done = 0;
		return (more) => {
			done = Math.min(total, done + more);
			this.#operation.onProgress?.({ stage, done, total, unit: 'events' });
		};
	}

	#throwIfAborted(): void {
		const { signal } = this.#operation;
		if (signal?.aborted) throw new AbortedError('[prepare] aborted', { cause: signal.reason });
	}
}
