import type { DuckDBBigIntVector } from '@duckdb/node-api';
import type { MedsDataset } from '../data/meds.js';
import type { Database } from '../data/query.js';
import { RandomStream } from '../random.js';
import { type Split, splits } from '../types.js';

export interface IndexDateOptions {
	readonly perPatient: number;
	readonly minHistoryDays: number;
	readonly seed: number;
}

/** Draws index dates into the table index_dates (subject_id, t, split). Needs the tables events and subjects. */
export async function drawIndexDates(
	database: Database,
	dataset: MedsDataset,
	config: IndexDateOptions,
	signal: AbortSignal | undefined,
): Promise<void> {
	await database.run('CREATE TABLE index_dates (subject_id BIGINT, t BIGINT, split VARCHAR)');
	const day = (column: string) => `date_trunc('day', make_timestamp(${column}))`;
	const candidates = `SELECT subject_id, t FROM (
			SELECT e.subject_id, max(e.time) AS t, row_number() OVER (PARTITION BY e.subject_id ORDER BY max(e.time)) AS days
			FROM events e JOIN subjects s USING (subject_id)
			WHERE ${day('e.time')} < ${day('s.last_time')} AND (s.death_time IS NULL OR ${day('e.time')} < ${day('s.death_time')})
			GROUP BY e.subject_id, ${day('e.time')})
		WHERE days >= ${config.minHistoryDays} ORDER BY subject_id, t`;
	const splitOf = new Map<bigint, Split>(
		splits.flatMap((split) => dataset.subjects[split].map((id): [bigint, Split] => [id, split])),
	);
	const appender = await database.connection.createAppender('index_dates');
	const take = (subjectId: bigint, times: bigint[]) => {
		const random = new RandomStream(
			config.seed,
			'indexDate',
			Number(BigInt.asUintN(32, subjectId)),
			Number(BigInt.asUintN(24, subjectId >> 32n)),
		);
		for (const time of random.shuffle(times).slice(0, config.perPatient)) {
			appender.appendBigInt(subjectId);
			appender.appendBigInt(time);
			appender.appendVarchar(splitOf.get(subjectId)!);
			appender.endRow();
		}
	};
	let current: bigint | undefined;
	let times: bigint[] = [];
	for await (const chunk of database.stream(candidates, signal)) {
		const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
		const moments = chunk.getColumnVector(1) as DuckDBBigIntVector;
		for (let row = 0; row < chunk.rowCount; row++) {
			const subject = subjects.getItem(row)!;
			if (subject !== current) {
				if (current !== undefined) take(current, times);
				current = subject;
				times = [];
			}
			times.push(moments.getItem(row)!);
		}
	}
	if (current !== undefined) take(current, times);
	appender.closeSync();
}
