import type { MedsDataset } from '../data/meds.js';
import { eventsSql } from '../data/meds.js';
import type { Database } from '../data/query.js';
import { ageTokens, gapTokens } from './time-gaps.js';
import { binToken, maskToken, parents, unknownToken, Vocabulary } from './vocabulary.js';

export interface FitOptions {
	/** A code seen in fewer training patients has no token of its own. */
	readonly minPatients: number;
	/** Quantile bins per code. */
	readonly bins: number;
}

/**
 * Fits the structured vocabulary on the train split: a token per code that at least `minPatients` patients have, a token
 * per group of rarer codes with a common prefix, and quantile cut points per code with values.
 *
 * Needs `loadCodes` first (its table subject_splits).
 */
export async function fitVocabulary(
	database: Database,
	dataset: MedsDataset,
	options: FitOptions,
): Promise<Vocabulary> {
	const train = `SELECT e.* FROM (${eventsSql(dataset)}) e
		JOIN subject_splits s ON s.subject_id = e.subject_id AND s.split = 'train'
		WHERE NOT (e.code = 'MEDS_BIRTH' OR e.code LIKE 'MEDS_BIRTH//%')`;
	const rows = await database.rows(
		`SELECT code, count(DISTINCT subject_id)::INTEGER AS patients, count(value)::INTEGER AS valued FROM (${train}) GROUP BY code ORDER BY code`,
	);
	const kept = rows.filter((row) => Number(row.patients) >= options.minPatients).map((row) => String(row.code));
	const keptSet = new Set(kept);
	const groups = await groupTokens(database, train, rows, keptSet, options.minPatients);

	// quantile_disc returns values that occur; `unique` gives a code with few distinct values fewer bins.
	const shares = Array.from({ length: options.bins - 1 }, (_, i) => (i + 1) / options.bins);
	const quantiles = await database.rows(
		`SELECT code, quantile_disc(value, [${shares.join(', ')}])::FLOAT[] AS cuts FROM (${train}) WHERE value IS NOT NULL GROUP BY code ORDER BY code`,
	);
	const cuts: Record<string, number[]> = {};
	for (const row of quantiles) {
		const code = String(row.code);
		if (!keptSet.has(code)) continue;
		const values = (row.cuts as { items: readonly number[] }).items.map(Math.fround);
		cuts[code] = [...new Set(values)].sort((a, b) => a - b);
	}
	return new Vocabulary({
		format: 'ehr-jepa/vocabulary',
		version: 1,
		dataset: dataset.name,
		etl: dataset.etl,
		dataFingerprint: dataset.fingerprint,
		minPatients: options.minPatients,
		bins: options.bins,
		binRule:
			'DuckDB quantile_disc of the training values at i/bins, float32, duplicates removed; bin = number of cuts <= value',
		tokens: [
			unknownToken,
			maskToken,
			...ageTokens,
			...gapTokens,
			...Array.from({ length: options.bins }, (_, bin) => binToken(bin)),
			...kept,
			...groups,
		],
		cuts,
	});
}

/** Groups of rare codes: each rare code goes to its longest prefix that enough patients share. */
async function groupTokens(
	database: Database,
	train: string,
	rows: readonly Record<string, unknown>[],
	kept: ReadonlySet<string>,
	minPatients: number,
): Promise<string[]> {
	const rare = rows.map((row) => String(row.code)).filter((code) => !kept.has(code));
	if (rare.length === 0) return [];
	await database.run('CREATE OR REPLACE TEMP TABLE rare_parents (code VARCHAR, parent VARCHAR)');
	const appender = await database.connection.createAppender('rare_parents');
	for (const code of rare) {
		for (const parent of parents(code)) {
			appender.appendVarchar(code);
			appender.appendVarchar(parent);
			appender.endRow();
		}
	}
	appender.closeSync();
	const shared = await database.rows(
		`SELECT p.parent FROM rare_parents p JOIN (SELECT DISTINCT subject_id, code FROM (${train})) e ON e.code = p.code
		GROUP BY p.parent HAVING count(DISTINCT e.subject_id) >= ${minPatients}`,
	);
	const enough = new Set(shared.map((row) => String(row.parent)));
	const used = new Set<string>();
	for (const code of rare) {
		const parent = parents(code).find((candidate) => enough.has(candidate));
		if (parent !== undefined) used.add(parent);
	}
	return [...used].sort();
}
