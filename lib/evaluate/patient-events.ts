import type { DuckDBBigIntVector, DuckDBIntegerVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { floorDaysSql } from '../data/day-sql.js';
import type { Microseconds } from '../types.js';
import { type BaselineInput, withBaselineTables } from './baseline-tables.js';
import type { Trajectory } from './trajectories-file.js';

/** Kinds of event that have a row of their own. */
const drawnKinds = 8;
const day = 86_400_000_000n;

export interface PatientEvents extends Pick<Trajectory, 'events' | 'lastDay' | 'deathDay'> {
	/** At day 0; null without a birth. */
	readonly ageAt: number | null;
	/** Day of a time; days begin at midnight, as in the data. */
	dayOf(time: Microseconds): number;
}

/** Events of patients by day and by the first part of their code. Births are none; static events have no day. */
export async function patientEvents(
	input: BaselineInput,
	subjects: readonly bigint[],
): Promise<Map<bigint, PatientEvents>> {
	const found = new Map<
		bigint,
		{ days: Map<string, Map<number, number>>; birth: number | null; death: number | null }
	>();
	for (const subject of subjects) found.set(subject, { days: new Map(), birth: null, death: null });
	if (subjects.length === 0) return new Map();
	const { birthSql, deathSql } = { birthSql: input.lifeCodes.birthSql(), deathSql: input.lifeCodes.deathSql() };
	await withBaselineTables(input, async (database) => {
		const kinds = `SELECT subject_id, (${floorDaysSql('time')})::INTEGER AS day,
			CASE WHEN ${birthSql} THEN 'birth' WHEN ${deathSql} THEN 'death' ELSE 'code' END AS life,
			regexp_extract(code, '^[^/:|]*') AS kind, count(*)::INTEGER AS n
			FROM events WHERE time IS NOT NULL AND subject_id IN (${subjects.join(', ')}) GROUP BY ALL`;
		for await (const chunk of database.stream(kinds, input.signal)) {
			const of = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const [days, counts] = [1, 4].map((c) => chunk.getColumnVector(c) as DuckDBIntegerVector);
			const [lives, names] = [2, 3].map((c) => chunk.getColumnVector(c) as DuckDBVarCharVector);
			for (let row = 0; row < chunk.rowCount; row++) {
				const patient = found.get(of.getItem(row)!)!;
				const at = days!.getItem(row)!;
				const life = lives!.getItem(row)!;
				if (life === 'birth') patient.birth = Math.min(patient.birth ?? at, at);
				else {
					if (life === 'death') patient.death = Math.min(patient.death ?? at, at);
					const kind = names!.getItem(row)! || 'other';
					const byDay = patient.days.get(kind) ?? new Map<number, number>();
					byDay.set(at, (byDay.get(at) ?? 0) + counts!.getItem(row)!);
					patient.days.set(kind, byDay);
				}
			}
		}
	});
	return new Map(
		[...found].map(([subject, { days, birth, death }]) => {
			const all = [...days.values()].flatMap((byDay) => [...byDay.keys()]);
			const first = all.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY);
			const start = Number.isFinite(first) ? first : 0;
			return [
				subject,
				{
					ageAt: birth === null ? null : Number(((start - birth) / 365.25).toFixed(2)),
					lastDay: all.reduce((most, at) => Math.max(most, at), start) - start,
					deathDay: death === null ? null : death - start,
					events: largest(days).map(([kind, byDay]) => {
						const sorted = [...byDay].sort(([a], [b]) => a - b);
						return { kind, days: sorted.map(([at]) => at - start), counts: sorted.map(([, count]) => count) };
					}),
					dayOf: (time: Microseconds) => Number(time >= 0n ? time / day : (time - day + 1n) / day) - start,
				},
			];
		}),
	);
}

/** The most frequent kinds, and the others as one. */
function largest(days: ReadonlyMap<string, ReadonlyMap<number, number>>): [string, ReadonlyMap<number, number>][] {
	const total = (byDay: ReadonlyMap<number, number>) => [...byDay.values()].reduce((sum, count) => sum + count, 0);
	const sorted = [...days].sort(([a, one], [b, other]) => total(other) - total(one) || (a < b ? -1 : 1));
	if (sorted.length <= drawnKinds) return sorted;
	const rest = new Map<number, number>();
	for (const [, byDay] of sorted.slice(drawnKinds))
		for (const [at, count] of byDay) rest.set(at, (rest.get(at) ?? 0) + count);
	return [...sorted.slice(0, drawnKinds), ['further kinds', rest]];
}
