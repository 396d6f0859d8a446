import { cpSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { floorDaysSql } from '../../lib/data/day-sql.js';
import { LifeCodes } from '../../lib/data/life-codes.js';
import { openMeds } from '../../lib/data/meds.js';
import { quoted, withDatabase } from '../../lib/data/query.js';
import { countFeatures } from '../../lib/evaluate/count-features.js';
import {
	buildTasks,
	openTokenStore,
	prepareStore,
	readIndexDates,
	readLabels,
	simulateCohort,
	simulatedTasks,
	validateMeds,
} from '../../lib/index.js';
import { epochDay } from '../../lib/prepare/event-time.js';
import { dayOf } from '../../lib/text/calendar.js';
import { splits } from '../../lib/types.js';
import fc from '../fixtures/property.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

t.setTimeout(600_000);

const dayMicroseconds = 86_400_000_000n;
const lib = fileURLToPath(new URL('../../../lib', import.meta.url));

t.test('no SQL of lib/ divides times but through floorDaysSql', async (t) => {
	const names = readdirSync(lib, { recursive: true }).map(String);
	for (const name of names.filter((name) => name.endsWith('.ts') && name !== 'data/day-sql.ts')) {
		const text = readFileSync(join(lib, name), 'utf8');
		t.notMatch(text, /\/\/ \$\{(microsecondsPerDay|dayUs|day)\b|\/\/ 86_?400/, name);
		t.notMatch(text, /Math\.trunc\(/, name);
	}
});

t.test('a day is rounded down on both sides of 1970, in SQL and in TypeScript', async (t) => {
	await withDatabase({ threads: 1 }, async (database) => {
		const property = fc.assert(
			fc.asyncProperty(
				fc.array(fc.bigInt({ min: -9_000_000_000_000_000n, max: 9_000_000_000_000_000n }), {
					minLength: 1,
					maxLength: 50,
				}),
				async (times) => {
					const values = times.map((time) => `(${time}::BIGINT)`).join(', ');
					const rows = await database.rows(`SELECT t, ${floorDaysSql('t')} AS day FROM (VALUES ${values}) v(t)`);
					for (const { t: time, day } of rows as { t: bigint; day: bigint }[]) {
						const whole = day * dayMicroseconds;
						if (!(whole <= time && time < whole + dayMicroseconds)) return false;
						const [low, high] = [Number(BigInt.asIntN(32, time)), Number(time >> 32n)];
						if (BigInt(dayOf(time)) !== day || BigInt(epochDay(low, high)) !== day) return false;
					}
					return true;
				},
			),
			{ numRuns: 50 },
		);
		await t.resolves(property);
	});
});

/** A copy of a data set with every time moved by whole days. */
async function moved(meds: string, out: string, days: number): Promise<string> {
	const names = readdirSync(meds, { recursive: true }).map(String);
	cpSync(meds, out, { recursive: true });
	await withDatabase({ threads: 1 }, async (database) => {
		for (const name of names.filter((name) => name.startsWith('data/') && name.endsWith('.parquet'))) {
			const path = join(out, name);
			await database.run(
				`COPY (SELECT * REPLACE (make_timestamp(epoch_us(time) + ${BigInt(days) * dayMicroseconds}) AS time)
				FROM read_parquet(${quoted(path)})) TO ${quoted(`${path}.new`)} (FORMAT parquet)`,
			);
			renameSync(`${path}.new`, path);
		}
	});
	return out;
}

/** All that is made of a cohort, with days counted from a first one. */
async function madeOf(meds: string, out: string, days: number) {
	const shift = BigInt(days) * dayMicroseconds;
	const list = await buildTasks(meds, join(out, 'tasks'), { tasks: [...simulatedTasks], bufferDays: 1 });
	const indexDates = await readIndexDates(join(out, 'tasks'));
	const sample = ({ subjectId, predictionTime }: { subjectId: bigint; predictionTime: bigint }) =>
		`${subjectId}@${predictionTime - shift}`;
	const labels: Record<string, unknown> = {};
	for (const { directory } of list.tasks) {
		const rows = await readLabels(join(out, 'tasks', directory));
		labels[directory] = rows.map((row) => `${sample(row)} ${row.value}`);
	}
	const dataset = await openMeds(meds);
	const counts = await countFeatures({ dataset, indexDates, lifeCodes: new LifeCodes() });
	const manifest = await prepareStore(meds, join(out, 'store'), { threads: 1 });
	const store = await openTokenStore(join(out, 'store'));
	const timelines = [];
	for (const split of splits) {
		for (let i = 0; i < store.split(split).size; i++) {
			const {
				subjectId,
				birthDay,
				tokens,
				staticTokens,
				days: calendar,
				dayOffsets,
				times,
			} = await store.split(split).timeline(i);
			timelines.push({
				subjectId,
				birthDay: birthDay === null ? null : birthDay - days,
				tokens: [...tokens],
				staticTokens: [...staticTokens],
				days: [...calendar].map((day) => day - days),
				dayOffsets: [...dayOffsets],
				times: [...times].map((time) => time - shift),
			});
		}
	}
	await store.close();
	const { findings, events, subjects } = await validateMeds(meds);
	return {
		tasks: list.tasks,
		indexDates: indexDates.map((row) => `${sample(row)} ${row.split}`),
		labels,
		counts: [...counts.values],
		coverage: manifest.coverage,
		timelines,
		validation: { events, subjects, findings: findings.map(({ name, count }) => [name, count]) },
	};
}

t.test('a cohort that is moved by whole days gives the same everything', async (t) => {
	const folder = temporaryFolder(t);
	const cohort = join(folder, 'cohort');
	await simulateCohort(cohort, { patients: 16, threads: 1 });
	const here = await madeOf(cohort, join(folder, 'here'), 0);
	t.ok(here.tasks.some(({ positives }) => positives > 0));
	const year = 365.25;
	// Across 1970, into the 1900s, before 1900, and up to 2149 and beyond.
	const shifts = [-53, -110, -130, 129].map((years) => Math.round(years * year));
	for (const days of shifts) {
		const out = join(folder, String(days));
		const there = await madeOf(await moved(cohort, join(out, 'meds'), days), out, days);
		t.same(there, here, `by ${days} days`);
	}
});
