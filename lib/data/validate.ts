import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig, positiveInteger } from '../config.js';
import { AbortedError } from '../errors.js';
import { requirePath } from '../files/path.js';
import type { LongOperation } from '../types.js';
import { dataFiles } from './data-files.js';
import { interruptible } from './interrupt.js';
import { LifeCodeOptions, LifeCodes } from './life-codes.js';
import { type Database, withDatabase } from './query.js';
import { folderSplits } from './splits.js';
import { birthRule } from './validate/births.js';
import { datasetJsonRules, validateDatasetJson } from './validate/dataset-json.js';
import { datasetRules } from './validate/dataset-rules.js';
import { createTables, validateEventFile } from './validate/event-file.js';
import { duplicateRule, encodingRule, eventRules, hiddenRule, readableRule } from './validate/event-rules.js';
import { loadCodeList, loadSplits, metadataRules } from './validate/metadata-files.js';
import { type Finding, Findings, type Offender, type Rule } from './validate/rule.js';
import { schemaRules } from './validate/schemas.js';

export const ValidateOptions = z.strictObject({
	/** Characters of the longest code that is not reported. */
	maxCodeLength: positiveInteger.default(256),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions.prefault({}),
	/** What DuckDB may hold before it spills to disk. */
	memoryLimit: z.string().default('2GB'),
});
export type ValidateOptions = z.input<typeof ValidateOptions>;

/** What {@link validateMeds} found. */
export interface ValidationReport {
	/** No rule with severity `error` is broken. */
	readonly valid: boolean;
	/** Valid, and nothing has the form of an older MEDS: a strict reader of MEDS 0.4 takes it too. */
	readonly strict: boolean;
	readonly files: number;
	readonly events: number;
	readonly subjects: number;
	readonly codes: number;
	/** Subjects of each split; empty without metadata/subject_splits.parquet. */
	readonly splits: Readonly<Record<string, number>>;
	/** Broken rules, errors first. */
	readonly findings: readonly Finding[];
	/** Files whose rows could not be looked at, and why; a finding says what to mend. */
	readonly unchecked: readonly { readonly file: string; readonly reason: string }[];
	/** Names of the rules that were applied. */
	readonly rules: readonly string[];
}

/** Every rule of {@link validateMeds} (docs/meds-validate.md). */
export function validationRules(maxCodeLength = 256): readonly Rule[] {
	return [
		hiddenRule,
		readableRule,
		encodingRule,
		...schemaRules,
		...datasetJsonRules,
		...metadataRules,
		...eventRules(maxCodeLength),
		duplicateRule,
		birthRule,
		...datasetRules,
	];
}

/**
 * Checks a MEDS folder against MEDS 0.4 (`meds/schema.py` and its README) and reports every broken rule with its count and
 * first place. Nothing is held in memory but subjects and codes; files are read one after the other.
 *
 * @throws {DataError} Only when there is no data folder with parquet files; what is wrong inside is in the report.
 * @throws {ConfigError} {AbortedError}
 */
export async function validateMeds(
	directory: string,
	options: ValidateOptions = {},
	operation: LongOperation = {},
): Promise<ValidationReport> {
	requirePath('validate', 'directory', directory);
	const { maxCodeLength, memoryLimit, lifeCodes } = parseConfig('validate', ValidateOptions, options);
	const found = await dataFiles('validate', directory);
	const rules = { maxCodeLength, lifeCodes: new LifeCodes(lifeCodes) };
	return withDatabase({ memoryLimit }, (database) =>
		interruptible('validate', database, operation.signal, () =>
			validate(database, directory, { names: found.files, hidden: found.hidden }, rules, operation),
		),
	);
}

async function validate(
	database: Database,
	directory: string,
	{ names, hidden }: { readonly names: readonly string[]; readonly hidden: readonly string[] },
	{ maxCodeLength, lifeCodes }: { readonly maxCodeLength: number; readonly lifeCodes: LifeCodes },
	operation: LongOperation,
): Promise<ValidationReport> {
	const findings = new Findings();
	if (hidden.length > 0) findings.add(hiddenRule, hidden.length, { file: hidden[0]! });
	const unchecked: { file: string; reason: string }[] = [];
	const columns = new Set<string>();
	let events = 0;
	await createTables(database);
	await database.run(`SET preserve_insertion_order = true`);
	const files = names.map((name, id) => ({
		id,
		name,
		path: join(directory, name),
		folder: folderSplits(name)[0] ?? name.split('/')[1]!,
	}));
	const appender = await database.connection.createAppender('files');
	for (const { id, name, folder } of files) {
		appender.appendInteger(id);
		appender.appendVarchar(name);
		appender.appendVarchar(folder);
		appender.endRow();
	}
	appender.closeSync();
	const rules = eventRules(maxCodeLength);
	const progress = (done: number) =>
		operation.onProgress?.({ stage: 'validate', done, total: files.length, unit: 'files' });
	progress(0);
	for (const [done, file] of files.entries()) {
		if (operation.signal?.aborted) throw new AbortedError('[validate] aborted', { cause: operation.signal.reason });
		const result = await validateEventFile(database, file, rules, lifeCodes, findings);
		for (const column of result.columns) columns.add(column);
		if (result.unchecked === undefined) events += result.rows;
		else unchecked.push({ file: file.name, reason: result.unchecked });
		progress(done + 1);
	}
	const metadata = await validateDatasetJson(directory, columns, findings);
	const present = {
		data: true,
		codes: await loadCodeList(database, directory, findings),
		splits: await loadSplits(database, directory, findings),
	};
	const applied = datasetRules.filter(
		({ name, needs }) =>
			present[needs] && !(name === 'codes-repeated' && (metadata.code_modifier_columns ?? []).length > 0),
	);
	for (const rule of applied) {
		const [found] = await database.rows(
			`SELECT count(*)::DOUBLE AS n, arg_min(v, "order") AS first FROM (
				SELECT struct_pack(file, "row", subject_id, value) AS v, row_number() OVER (ORDER BY file, "row") AS "order"
				FROM (${rule.sql}))`,
		);
		if (Number(found?.n) > 0) findings.add(rule, Number(found?.n), offenderOf(found?.first));
	}
	const list = findings.list();
	const valid = !list.some(({ severity }) => severity === 'error');
	const [totals] = await database.rows(
		`SELECT (SELECT count(DISTINCT subject_id) FROM runs)::DOUBLE AS subjects,
			(SELECT count(DISTINCT code) FROM data_codes)::DOUBLE AS codes`,
	);
	const splits = await database.rows(
		'SELECT split, count(*)::DOUBLE AS n FROM splits WHERE split IS NOT NULL GROUP BY split ORDER BY split',
	);
	const skipped = new Set(datasetRules.filter((rule) => !applied.includes(rule)).map(({ name }) => name));
	return {
		valid,
		strict: valid && !list.some(({ basis }) => basis === 'older-meds'),
		files: files.length,
		events,
		subjects: Number(totals?.subjects),
		codes: Number(totals?.codes),
		splits: Object.fromEntries(splits.map(({ split, n }) => [String(split), Number(n)])),
		findings: list,
		unchecked,
		rules: validationRules(maxCodeLength)
			.map(({ name }) => name)
			.filter((name) => !skipped.has(name)),
	};
}

function offenderOf(struct: unknown): Offender {
	const { file, row, subject_id, value } = (struct as { entries: Record<string, string | bigint | null> }).entries;
	return {
		file: String(file),
		...(row === null ? {} : { row: Number(row) }),
		...(subject_id === null ? {} : { subjectId: BigInt(subject_id!) }),
		...(value === null ? {} : { value: String(value) }),
	};
}
