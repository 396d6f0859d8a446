import { birthCandidates, describeCandidates } from '../birth-candidates.js';
import type { LifeCodes } from '../life-codes.js';
import type { Database } from '../query.js';
import type { Findings, Rule } from './rule.js';

export const birthRule: Rule = {
	name: 'subject-without-birth',
	severity: 'warning',
	basis: 'data-quality',
	unit: 'subjects',
	message: 'a subject has no birth at a time, so no age is known of it',
	fix: 'write the birth as MEDS_BIRTH, or name its code (--birth-code)',
};

/**
 * Finds the subjects of a file that have no birth; the first finding names codes that may be it.
 *
 * @param rows - SQL of the file's rows: "row", subject_id, time and code.
 */
export async function checkBirths(
	database: Database,
	file: string,
	rows: string,
	lifeCodes: LifeCodes,
	findings: Findings,
): Promise<void> {
	const [found] = await database.rows(
		`SELECT count(*)::DOUBLE AS n, min("row") AS r, arg_min(subject_id, "row") AS s FROM (
			SELECT subject_id, min("row") AS "row" FROM (${rows}) WHERE subject_id IS NOT NULL GROUP BY subject_id
			HAVING NOT coalesce(bool_or(time IS NOT NULL AND ${lifeCodes.birthSql()}), false))`,
	);
	const n = Number(found?.n ?? 0);
	if (n === 0) return;
	const candidates = findings.list().some(({ name }) => name === birthRule.name)
		? []
		: await birthCandidates(database, rows, lifeCodes);
	findings.add(birthRule, n, {
		file,
		row: Number(found!.r),
		subjectId: BigInt(found!.s as bigint),
		...(candidates.length === 0 ? {} : { value: `it may be called ${describeCandidates(candidates)}` }),
	});
}
