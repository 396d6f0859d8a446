import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { filePath, fraction, parseConfig, positiveInteger } from '../config.js';
import { birthCandidates } from '../data/birth-candidates.js';
import { type EventPart, type EventSource, planParts, presentColumns } from '../data/event-parts.js';
import { LifeCodeOptions, LifeCodes } from '../data/life-codes.js';
import { checkMedsRows, eventsSql, type MedsFiles, openMedsFiles } from '../data/meds.js';
import { type Database, withDatabase } from '../data/query.js';
import { splitsFile, splitsKey } from '../data/read-splits.js';
import type { SplitSource } from '../data/splits.js';
import { SubjectSplits } from '../data/subject-splits.js';
import { AbortedError, ConfigError, DataError, VocabularyError } from '../errors.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { exists } from '../files/exists.js';
import { sha256 } from '../files/hash.js';
import { writePartialFolder } from '../files/partial.js';
import { requirePath } from '../files/path.js';
import { writeWhole } from '../files/whole.js';
import { packageVersion } from '../package-version.js';
import type { StoreManifest } from '../store/manifest.js';
import { Serialiser, SerialiserOptions } from '../text/serialiser.js';
import { ThreadPool } from '../threads/thread-pool.js';
import { CodeStatistics } from '../tokenizer/code-statistics.js';
import { fitVocabulary, quantileSampleSize } from '../tokenizer/fit-vocabulary.js';
import { QwenTokenizer, SpecialTokens } from '../tokenizer/qwen-tokenizer.js';
import { sharedContents } from '../tokenizer/shared-contents.js';
import { embeddingRows, TextVocabulary } from '../tokenizer/text-vocabulary.js';
import { Vocabulary } from '../tokenizer/vocabulary.js';
import type { LongOperation } from '../types.js';
import { assembleStore } from './assemble.js';
import { lostValueNotes, type ValueForm, valueForms } from './lost-values.js';
import { makePartFolders, readPartSummary } from './part-files.js';
import type { PrepareAnswer, PrepareTask, PrepareThreadData, TokenisePlan } from './prepare-tasks.js';
import { prefixRows } from './summary.js';

const StructuredTokens = z.strictObject({
	kind: z.literal('structured'),
	/** An existing vocabulary.json; absent: one is fitted on the train split. */
	vocabulary: filePath.optional(),
	/** Codes that fewer training patients have are grouped by prefix. */
	minPatients: positiveInteger.default(5),
	bins: z.int().min(2).max(100).default(10),
	/** Largest share of events whose code a given vocabulary does not know at all. */
	maxUnknown: fraction.default(0.2),
});

const TextTokens = z.strictObject({
	kind: z.literal('text'),
	/** Folder with the tokenizer of a Qwen model. */
	tokenizer: filePath,
	serialiser: SerialiserOptions.prefault({}),
	/** What a special token written in a record becomes: the ordinary text of its characters, or its id. */
	specialTokens: SpecialTokens.default('text'),
	/** Rows of the embedding; absent: as config.json beside the tokenizer says, else 151,936 for Qwen. */
	vocabSize: positiveInteger.optional(),
});

export const PrepareOptions = z.strictObject({
	/** What events become. */
	tokens: z.discriminatedUnion('kind', [StructuredTokens, TextTokens]).prefault({ kind: 'structured' }),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions.prefault({}),
	/** Events that a thread is given at a time, and that one data file holds; absent: by the size of the data set. */
	eventsPerPart: positiveInteger.optional(),
	/** Absent: as many as the machine runs at once. Changes nothing in what is written. */
	threads: positiveInteger.optional(),
});
export type PrepareOptions = z.input<typeof PrepareOptions>;
type Config = z.output<typeof PrepareOptions>;

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
	requirePath('prepare', 'meds', meds);
	requirePath('prepare', 'out', out);
	const config = parseConfig('prepare', PrepareOptions, options);
	const dataset = await openMedsFiles(meds);
	const given = await givenTokens(config);
	const { threads: _, ...decisive } = config;
	const plan = JSON.stringify({
		version: 3,
		package: packageVersion,
		data: dataset.fingerprint,
		splits: await splitsKey(meds),
		...decisive,
		...given.key,
	});
	return writePartialFolder(
		out,
		sha256(plan),
		(folder) => new Preparation(config, dataset, given, folder, operation).write(),
		operation.onWarning,
	);
}

/** What was read of files that the options name. */
interface GivenTokens {
	readonly vocabulary: Vocabulary | undefined;
	readonly tokenizer: QwenTokenizer | undefined;
	/** Their fingerprints. */
	readonly key: object;
}

async function givenTokens({ tokens }: Config): Promise<GivenTokens> {
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

/** What is known of the events before they are read one by one. */
interface Survey {
	readonly parts: readonly EventPart[];
	readonly source: EventSource;
	readonly codes: readonly string[];
	/** (codes,) events. */
	readonly events: Float64Array;
	readonly units: readonly string[];
	readonly codesWithValues: number;
	readonly values: number;
	readonly textOnly: number;
	readonly forms: readonly ValueForm[];
}

class Preparation {
	readonly #config: Config;
	readonly #lifeCodes: LifeCodes;
	readonly #dataset: MedsFiles;
	readonly #given: GivenTokens;
	readonly #folder: string;
	readonly #operation: LongOperation;

	constructor(config: Config, dataset: MedsFiles, given: GivenTokens, folder: string, operation: LongOperation) {
		this.#config = config;
		this.#lifeCodes = new LifeCodes(config.lifeCodes);
		this.#dataset = dataset;
		this.#given = given;
		this.#folder = folder;
		this.#operation = operation;
	}

	async write(): Promise<StoreManifest> {
		await makePartFolders(this.#folder);
		const notes = [...this.#dataset.notes];
		const { survey, splits } = await withDatabase({ memoryLimit: '1GB' }, async (database) => {
			notes.push(...(await checkMedsRows(database, this.#dataset, this.#operation)).notes);
			return {
				splits: await SubjectSplits.read(database, this.#dataset, notes),
				survey: await this.#survey(database),
			};
		});
		const { source } = splits.shared;
		if (!splits.mayHold('train')) throw noTraining(source);
		this.#throwIfAborted();
		const threads = Math.min(this.#config.threads ?? availableParallelism(), survey.parts.length);
		const pool = this.#threads(threads, { source: survey.source, splits: splits.shared });
		let vocabulary: Vocabulary | TextVocabulary;
		try {
			vocabulary = await this.#vocabulary(survey, pool, source);
			notes.push(...lostValueNotes(survey.forms, vocabulary));
			await this.#tokenise(survey, pool, await this.#plan(vocabulary));
		} finally {
			await pool.close();
		}
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
		await writeWhole(join(this.#folder, 'manifest.json'), `${JSON.stringify(manifest, undefined, '\t')}\n`);
		await rm(join(this.#folder, 'parts'), { recursive: true });
		await rm(join(this.#folder, 'names.parquet'));
		return manifest;
	}

	#threads(count: number, shared: Pick<PrepareThreadData, 'source' | 'splits'>): PreparePool {
		const data: PrepareThreadData = { ...shared, lifeCodes: this.#config.lifeCodes, folder: this.#folder };
		const script = new URL('./prepare-worker.js', import.meta.url);
		return new ThreadPool(count, { scope: 'prepare', script, data, signal: this.#operation.signal, resourceLimits });
	}

	/** Counts events by code and lists the strings that become numbers. */
	async #survey(database: Database): Promise<Survey> {
		const { layouts } = this.#dataset;
		const present = presentColumns(layouts);
		const parts = await planParts(database, this.#dataset, this.#config.eventsPerPart);
		const textOnly = present.text ? "count(*) FILTER (value IS NULL AND coalesce(text_value, '') <> '')" : '0';
		await database.run(
			`CREATE TABLE codes AS SELECT code AS name, count(*)::DOUBLE AS events, count(value)::DOUBLE AS valued,
				(${textOnly})::DOUBLE AS text_only FROM (${eventsSql(this.#dataset, present.text ? ['text_value'] : [])}) GROUP BY code`,
		);
		const forms = await valueForms(database, this.#dataset, present);
		const distinct = async (kind: 'unit' | 'table', wanted: boolean) => {
			const select = wanted
				? `SELECT DISTINCT "${kind}" AS name FROM (${eventsSql(this.#dataset, [kind])})`
				: 'SELECT NULL::VARCHAR AS name WHERE false';
			await database.run(`CREATE TABLE ${kind}s AS SELECT name FROM (${select}) WHERE coalesce(name, '') <> ''`);
		};
		await distinct('unit', present.unit);
		await distinct('table', present.table && this.#config.tokens.kind === 'text');
		const numbered = (kind: string) =>
			`SELECT '${kind}' AS kind, (row_number() OVER (ORDER BY name) - 1)::INTEGER AS id, name FROM ${kind}s`;
		const names = join(this.#folder, 'names.parquet');
		await database.run(copyToParquet(['code', 'unit', 'table'].map(numbered).join(' UNION ALL '), names));
		const rows = await database.rows('SELECT name, events, valued, text_only FROM codes ORDER BY name');
		const units = await database.rows('SELECT name FROM units ORDER BY name');
		const total = (column: string) => rows.reduce((sum, row) => sum + Number(row[column]), 0);
		return {
			parts,
			source: { layouts, names },
			codes: rows.map(({ name }) => String(name)),
			events: Float64Array.from(rows, ({ events }) => Number(events)),
			units: units.map(({ name }) => String(name)),
			codesWithValues: rows.filter(({ valued }) => Number(valued) > 0).length,
			values: total('valued'),
			textOnly: total('text_only'),
			forms,
		};
	}

	async #vocabulary(survey: Survey, pool: PreparePool, splitSource: SplitSource): Promise<Vocabulary | TextVocabulary> {
		const { tokens } = this.#config;
		const { name, etl, fingerprint } = this.#dataset;
		if (tokens.kind === 'text') {
			const tokenizer = this.#given.tokenizer!;
			const size = await embeddingRows(tokenizer, tokens.vocabSize);
			return new TextVocabulary({
				format: 'ehr-jepa/text-vocabulary',
				version: 1,
				dataset: name,
				etl,
				dataFingerprint: fingerprint,
				tokenizer: tokenizer.sha256,
				size,
				maskTokenId: tokenizer.vocabularySize < size ? tokenizer.vocabularySize : null,
				...(tokens.specialTokens === 'ids' ? { specialTokens: 'ids' as const } : {}),
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
		{ minPatients, bins }: Extract<Config['tokens'], { readonly kind: 'structured' }>,
		splitSource: SplitSource,
	): Promise<Vocabulary> {
		const sampleSize = quantileSampleSize(survey.codesWithValues, survey.values);
		const options = { codes: survey.codes.length, minPatients, sampleSize };
		await pool.all({ kind: 'begin-fit', options });
		await pool.each(
			survey.parts.map((part) => ({ kind: 'fit', part })),
			this.#progress('fit vocabulary', survey),
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
			specialTokens: vocabulary.file.specialTokens ?? 'text',
			descriptions: (await exists(codes)) ? codes : null,
			tokenizer: { directory, contents: sharedContents(this.#given.tokenizer!) },
		};
	}

	async #tokenise(survey: Survey, pool: PreparePool, plan: TokenisePlan): Promise<void> {
		const tasks = [];
		const onEvents = this.#progress('tokenise', survey);
		for (const [number, part] of survey.parts.entries()) {
			if ((await readPartSummary(this.#folder, number)) === undefined)
				tasks.push({ kind: 'tokenise', number, part } as const);
			else onEvents(part.events);
		}
		if (tasks.length === 0) return;
		await pool.all({ kind: 'begin-tokenise', plan });
		await pool.each(tasks, onEvents);
	}

	#progress(stage: string, { events }: Survey): (events: number) => void {
		const total = events.reduce((sum, count) => sum + count, 0);
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

/** Refuses a vocabulary of other data that does not know these. */
function requireCoverage(
	vocabulary: Vocabulary,
	{ codes, events }: Survey,
	maxUnknown: number,
	lifeCodes: LifeCodes,
): void {
	const rows = prefixRows(codes, events, { vocabulary, lifeCodes });
	const total = events.reduce((sum, count) => sum + count, 0);
	const unknown = codes.reduce(
		(sum, code, i) => sum + (vocabulary.codeToken(code).match === 'unknown' ? events[i]! : 0),
		0,
	);
	const share = unknown / Math.max(1, total);
	if (share <= maxUnknown) return;
	const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
	const worst = rows
		.filter((row) => row.unknown! > 0)
		.sort((a, b) => b.unknown! - a.unknown!)
		.slice(0, 5)
		.map((row) => `${row.prefix} ${percent(row.unknown! / row.events)} of ${row.events}`);
	throw new VocabularyError(
		`[prepare] codes must be known to the vocabulary for all but ${(100 * maxUnknown).toFixed(0)} % of the events but ${percent(share)} are unknown (${worst.join('; ')}); ` +
			`it was fitted on "${vocabulary.file.dataset}" (ETL ${vocabulary.file.etl.name} ${vocabulary.file.etl.version}). Fit one on this data set, or raise maxUnknown`,
	);
}

/** A store that nothing could be learned from: every event became an age, or was left out. */
function noTokens({ coverage, splits }: StoreManifest): DataError {
	const reasons =
		coverage.kind === 'structured'
			? `${coverage.births} births kept as age`
			: Object.entries(coverage.dropped)
					.filter(([, count]) => count > 0)
					.map(([reason, count]) => `${count} left out as ${reason}`)
					.join(', ');
	return new DataError('prepare', {
		file: 'data',
		rule: 'must give at least one token of a subject in train',
		value: `0 tokens of ${splits.train.events} events (of all splits: ${reasons})`,
		fix: 'give events beside births, or for text a serialiser that writes these codes',
	});
}

function noTraining(source: SplitSource): DataError {
	return new DataError('prepare', {
		file: source === 'file' ? splitsFile : 'data',
		rule: 'must put at least one subject with events in train',
		value: 'none',
		...(source === 'hash'
			? { fix: `there are too few subjects to split them by a hash: write ${splitsFile}` }
			: source === 'folders'
				? { fix: `give data/train/ subjects with events, or write ${splitsFile}` }
				: {}),
	});
}
