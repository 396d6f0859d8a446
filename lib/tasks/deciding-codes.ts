import { z } from 'zod';
import type { Database } from '../data/query.js';

/** A code of the history whose presence nearly decides a label: the answer may stand in the history. */
export const DecidingCode = z.strictObject({
	code: z.string(),
	/** What the samples with the code are. */
	label: z.boolean(),
	/** Samples and patients with the code in their history. */
	samples: z.int(),
	patients: z.int(),
	/** Of these samples, those with that label. */
	agreeing: z.int(),
	/** Of all samples, those with that label. */
	share: z.number(),
});
export type DecidingCode = z.infer<typeof DecidingCode>;

/** The same for labels of several classes. */
export const ClassDecidingCode = DecidingCode.extend({
	/** The class of the samples with the code. */
	label: z.string(),
});
export type ClassDecidingCode = z.infer<typeof ClassDecidingCode>;

/** Of the samples with a code, so many have one label. */
const decidedShare = 0.95;
/** Codes that may be found by luck, of all that are looked at. */
const luck = 0.05;
const minPatients = 3;
/** Samples that are looked at; more cost time and tell nothing more. */
const sampleSize = 50_000;

/** Makes the table `first_seen`: when each subject first had each code, null for a static one. Needs the table all_events. */
export async function createFirstSeen(database: Database): Promise<void> {
	await database.run(
		`CREATE TABLE first_seen AS SELECT subject_id, code,
			CASE WHEN bool_or(time IS NULL) THEN NULL ELSE min(time) END AS first FROM all_events GROUP BY subject_id, code`,
	);
}

/** At most so many codes of a task are named. */
export const namedCodes = 5;

/**
 * Codes in the history of the samples of the table `labels` (subject_id, t, value) that nearly decide their label, those that
 * surprise most first.
 */
export async function decidingCodes(database: Database): Promise<DecidingCode[]> {
	return (await classDecidingCodes(database)).map((code) => ({ ...code, label: code.label === 'true' }));
}

/** The same where the values are names of classes. */
export async function classDecidingCodes(database: Database): Promise<ClassDecidingCode[]> {
	const all = await database.rows('SELECT value::VARCHAR AS value, count(*)::DOUBLE AS n FROM labels GROUP BY ALL');
	const counts = new Map(all.map(({ value, n }) => [String(value), Number(n)]));
	if (counts.size < 2) return [];
	const n = [...counts.values()].reduce((sum, count) => sum + count, 0);
	const every = Math.ceil(n / sampleSize);
	const rows = await database.rows(
		`WITH seen AS (SELECT code, value::VARCHAR AS value, subject_id
				FROM (SELECT * FROM labels WHERE hash(subject_id) % ${every} = 0) l JOIN first_seen f USING (subject_id)
				WHERE f.first IS NULL OR f.first <= l.t),
			codes AS (SELECT code, count(*)::DOUBLE AS samples, count(DISTINCT subject_id)::DOUBLE AS patients FROM seen
				GROUP BY code HAVING count(DISTINCT subject_id) >= ${minPatients}),
			labelled AS (SELECT code, value, count(*)::DOUBLE AS agreeing FROM seen GROUP BY code, value)
		SELECT code, any_value(samples) AS samples, any_value(patients) AS patients,
			arg_max(value, (agreeing, value)) AS value, max(agreeing) AS agreeing
		FROM codes JOIN labelled USING (code) GROUP BY code`,
	);
	const found: { readonly code: ClassDecidingCode; readonly chance: number }[] = [];
	for (const row of rows) {
		const [samples, patients, agreeing] = [Number(row.samples), Number(row.patients), Number(row.agreeing)];
		if (agreeing < decidedShare * samples) continue;
		const label = String(row.value);
		const share = counts.get(label)! / n;
		// Samples of one patient are not independent: as many draws as there are patients.
		const chance = binomialTail(Math.floor((agreeing / samples) * patients), patients, share);
		if (chance * rows.length < luck)
			found.push({ code: { code: String(row.code), label, samples, patients, agreeing, share }, chance });
	}
	return found.sort((a, b) => a.chance - b.chance || (a.code.code < b.code.code ? -1 : 1)).map(({ code }) => code);
}

/** The chance of at least `k` successes in `n` draws. @internal */
export function binomialTail(k: number, n: number, p: number): number {
	let sum = 0;
	// log of n over i, from i = 0 on.
	let choose = 0;
	for (let i = 0; i <= n; i++) {
		if (i >= k) sum += Math.exp(choose + i * Math.log(p) + (n - i) * Math.log1p(-p));
		choose += Math.log((n - i) / (i + 1));
	}
	return Math.min(1, sum);
}

/** One line for people. */
export function describeDecidingCode({
	code,
	label,
	samples,
	agreeing,
	share,
}: DecidingCode | ClassDecidingCode): string {
	const what = typeof label === 'string' ? `of class ${label}` : label ? 'positive' : 'negative';
	return `${agreeing} of ${samples} samples with ${code} in their history are ${what} (${(100 * share).toFixed(0)} % of all)`;
}
