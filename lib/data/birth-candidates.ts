import type { LifeCodes } from './life-codes.js';
import type { Database } from './query.js';

/** A code that may be a birth under another name. */
export interface BirthCandidate {
	readonly code: string;
	/** Subjects without a birth who have it, at a time. */
	readonly subjects: number;
}

/** A code that only a tenth of the subjects have is not what their birth is called. */
const smallestShare = 0.1;
const listed = 3;

/**
 * Codes that may be the birth of subjects who have none: called like one, or the first event of a subject, once, with a year
 * or more before the next.
 *
 * @param events - SQL with subject_id, time (microseconds) and code.
 */
export async function birthCandidates(
	database: Database,
	events: string,
	lifeCodes: LifeCodes,
): Promise<readonly BirthCandidate[]> {
	const rows = await database.rows(
		`WITH timed AS (SELECT subject_id, time, code FROM (${events}) WHERE time IS NOT NULL),
			unborn AS (SELECT * FROM timed ANTI JOIN (SELECT DISTINCT subject_id FROM timed WHERE ${lifeCodes.birthSql()}) USING (subject_id)),
			starts AS (SELECT subject_id, min(time) AS start FROM unborn GROUP BY subject_id),
			nexts AS (SELECT subject_id, min(time) AS next FROM unborn JOIN starts USING (subject_id) WHERE time > start GROUP BY subject_id),
			firsts AS (SELECT code, count(*) AS n FROM (
				SELECT DISTINCT subject_id, code FROM unborn JOIN starts USING (subject_id) JOIN nexts USING (subject_id)
				WHERE time = start AND next - start > 31557600000000) GROUP BY code),
			found AS (SELECT code, count(DISTINCT subject_id) AS subjects, count(*) AS events FROM unborn GROUP BY code)
		SELECT code, subjects::DOUBLE AS subjects FROM found LEFT JOIN firsts USING (code)
		WHERE subjects >= ${smallestShare} * (SELECT count(*) FROM starts)
			AND (regexp_matches(code, '(^|[^a-z])(birth|born|dob)($|[^a-z])|birthda', 'i') OR (events = subjects AND n > subjects / 2))
		ORDER BY coalesce(n, 0) DESC, subjects DESC, code LIMIT ${listed}`,
	);
	return rows.map(({ code, subjects }) => ({ code: String(code), subjects: Number(subjects) }));
}

export function describeCandidates(candidates: readonly BirthCandidate[]): string {
	return candidates.map(({ code, subjects }) => `${code} (${subjects} subjects)`).join(', ');
}

/** Says who has no birth, and what it may be called. */
export function withoutBirthNote(without: number, subjects: number, candidates: readonly BirthCandidate[]): string {
	const what =
		candidates.length === 0
			? 'no code looks like one; lifeCodes.birth (--birth-code) names it'
			: `it may be called ${describeCandidates(candidates)}: name the right one in lifeCodes.birth (--birth-code)`;
	return `${without} of ${subjects} subjects have no birth, so no age is known of them and their first event may be taken for one of care; ${what}`;
}
