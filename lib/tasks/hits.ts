import { floorDaysSql } from '../data/day-sql.js';
import type { Database } from '../data/query.js';

/**
 * Makes the table hits (subject_id, time): when what is predicted happens. What is written down after the day of death, such as a
 * bill, is no event of the patient. Needs the table subjects.
 *
 * @param sql - Rows of (subject_id, time).
 * @returns How many there are, those after death among them.
 */
export async function createHits(database: Database, sql: string): Promise<number> {
	await database.run(`CREATE OR REPLACE TEMP TABLE hits AS ${sql}`);
	const [found] = await database.rows('SELECT count(*)::INTEGER AS n FROM hits');
	await database.run(
		`DELETE FROM hits USING subjects s WHERE s.subject_id = hits.subject_id
			AND ${floorDaysSql('hits.time')} > ${floorDaysSql('s.death_time')}`,
	);
	return Number(found?.n ?? 0);
}
