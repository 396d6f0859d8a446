import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { LifeCodeOptions } from '../data/life-codes.js';
import { splitSources } from '../data/splits.js';
import { DataError } from '../errors.js';
import { readJson } from '../files/json.js';

const SplitCounts = z.strictObject({
	patients: z.int(),
	/** Patients with at least two days: the others cannot be cut into context and future. */
	trainable: z.int(),
	events: z.int(),
	/** Tokens of the timelines; demographics come on top. */
	tokens: z.int(),
	days: z.int(),
	/** Tokens per patient. */
	lengthPercentiles: z.strictObject({
		p0: z.int(),
		p25: z.int(),
		p50: z.int(),
		p75: z.int(),
		p90: z.int(),
		p99: z.int(),
		p100: z.int(),
	}),
});
export type SplitCounts = z.infer<typeof SplitCounts>;

const StructuredCoverage = z.strictObject({
	kind: z.literal('structured'),
	events: z.int(),
	known: z.int(),
	backed_off: z.int(),
	unknown: z.int(),
	births: z.int(),
	valuesBinned: z.int(),
	valuesWithoutBin: z.int(),
	/** Values in another unit than the code's usual one; they are not binned. */
	valuesInOtherUnit: z.int(),
	/** Rows whose only value is text, which the structured tokenizer does not read. */
	textOnly: z.int(),
});
const counts = z.record(z.string(), z.int());
const TextCoverage = z.strictObject({
	kind: z.literal('text'),
	events: z.int(),
	written: z.int(),
	/** By reason. */
	dropped: counts,
	/** Events by category. */
	categories: counts,
	/** Whether the category came from the table of the row or from its code. */
	fromTable: z.int(),
	fromCode: z.int(),
	/** Lines with values in several units. */
	mixedUnits: z.int(),
	/** Special tokens of the tokenizer that are written in the records; absent for none. */
	specialTokens: z.int().optional(),
	/** The most frequent codes and tables without a category, with their events. */
	unmappedCodes: counts,
	unmappedTables: counts,
});

/** What each stage holds, and in words what was left out. */
export const CohortFlow = z.array(
	z.strictObject({
		stage: z.string(),
		patients: z.int(),
		events: z.int().optional(),
		tokens: z.int().optional(),
		note: z.string().optional(),
	}),
);

/** `manifest.json` of a token store. */
export const StoreManifest = z.strictObject({
	format: z.literal('ehr-jepa/token-store'),
	version: z.literal(3),
	package: z.string(),
	dataset: z.strictObject({
		name: z.string(),
		fingerprint: z.string(),
		etl: z.strictObject({ name: z.string(), version: z.string() }),
	}),
	vocabulary: z.strictObject({ kind: z.enum(['structured', 'text']), fingerprint: z.string(), size: z.int() }),
	/** What decided the splits, and SHA-256 over who is in which: tasks and evaluation must have the same. */
	splitting: z.strictObject({ source: z.enum(splitSources), fingerprint: z.string() }),
	/** What was taken for birth and death, and patients of whom no age is known. */
	births: z.strictObject({
		/** Of the data. */
		birthCodes: z.array(z.string()),
		deathCodes: z.array(z.string()),
		/** Named by the user beside the usual ones. */
		given: LifeCodeOptions,
		patientsWithout: z.int(),
		/** Births on several days; the first is taken. */
		patientsWithSeveral: z.int(),
	}),
	/** SHA-256 over data, splits and vocabulary: what a training run was made on. */
	fingerprint: z.string(),
	splits: z.strictObject({ train: SplitCounts, tuning: SplitCounts, held_out: SplitCounts }),
	/** What became of the events. */
	coverage: z.discriminatedUnion('kind', [StructuredCoverage, TextCoverage]),
	/** Events by the first part of their code, most frequent first; of structured stores also how many codes and values are in the vocabulary. */
	prefixes: z.array(
		z.strictObject({
			prefix: z.string(),
			codes: z.int(),
			events: z.int(),
			known: z.int().optional(),
			backed_off: z.int().optional(),
			unknown: z.int().optional(),
			values: z.int().optional(),
			binned: z.int().optional(),
		}),
	),
	/** The most frequent codes. */
	topCodes: z.array(z.strictObject({ code: z.string(), events: z.int() })),
	cohortFlow: CohortFlow,
	notes: z.array(z.string()),
});
export type StoreManifest = z.infer<typeof StoreManifest>;

/** What of a manifest tells a reader which data a result comes from. */
export const StoreSummary = StoreManifest.pick({
	vocabulary: true,
	splits: true,
	coverage: true,
	prefixes: true,
	topCodes: true,
	notes: true,
});
export type StoreSummary = z.infer<typeof StoreSummary>;

export function storeSummary({ vocabulary, splits, coverage, prefixes, topCodes, notes }: StoreManifest): StoreSummary {
	return { vocabulary, splits, coverage, prefixes, topCodes, notes };
}

/** @throws {DataError} {ConfigError} When it is missing, of another version or not what it should be. */
export async function readStoreManifest(directory: string): Promise<StoreManifest> {
	const file = join(directory, 'manifest.json');
	const json = await readJson(file, {
		scope: 'token store',
		rule: 'must be the manifest of a token store',
		fix: 'give the folder that prepare wrote',
	});
	const { version } = (json ?? {}) as { readonly version?: unknown };
	if (version === 1 || version === 2) {
		throw new DataError('token store', {
			file,
			rule: 'must have version 3, which holds the splits',
			value: String(version),
			fix: 'run prepare again',
		});
	}
	return parseConfig(`token store ${file}`, StoreManifest, json);
}
