import t from 'tap';
import { LifeCodes } from '../../../lib/data/life-codes.js';
import { openMeds } from '../../../lib/data/meds.js';
import { countFeatures } from '../../../lib/evaluate/count-features.js';
import { valueFeatures } from '../../../lib/evaluate/value-features.js';
import type { IndexDateRow } from '../../../lib/tasks/read.js';
import { type Row, soundMeds, writeMeds } from '../../fixtures/meds-folder.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const lab = 'LAB//1//mg';
const train = [1, 2, 3, 4, 5];

async function dataset(rowsOf: (subject: number) => Row[]) {
	const meds = soundMeds();
	const patient = (subject: number): Row[] => [[subject, '1960-01-01', 'MEDS_BIRTH'], ...rowsOf(subject)];
	meds.data = {
		'data/train/0.parquet': train.flatMap(patient),
		'data/tuning/0.parquet': patient(6),
		'data/held_out/0.parquet': patient(7),
	};
	meds.splits = [...train.map((subject) => [subject, 'train'] as const), [6, 'tuning'], [7, 'held_out']];
	return openMeds(await writeMeds(temporaryFolder(t), meds));
}

const at = (time: string) => BigInt(Date.parse(`${time}Z`)) * 1000n;
const date = (subject: number, time: string, split: IndexDateRow['split'] = 'train'): IndexDateRow => ({
	subjectId: BigInt(subject),
	predictionTime: at(time),
	split,
});

t.test('last value, means and slope of what was known, by hand', async (t) => {
	const meds = await dataset((subject) =>
		subject === 7
			? [[7, '2020-01-01T00:00:00', 'VISIT']]
			: [
					[subject, '2018-01-01T00:00:00', lab, 1],
					[subject, '2019-10-01T00:00:00', lab, 3],
					[subject, '2020-01-01T00:00:00', lab, 8],
					[subject, '2020-01-01T00:00:00.000001', lab, 100],
				],
	);
	const dates = [
		date(1, '2020-01-01T00:00:00'),
		// Nothing in either window: the mean of all stands for them.
		date(1, '2019-09-01T00:00:00'),
		date(6, '2018-01-01T00:00:00', 'tuning'),
		date(7, '2020-01-01T00:00:00', 'held_out'),
	];
	const counts = await countFeatures({ dataset: meds, indexDates: dates, lifeCodes: new LifeCodes() });
	const table = await valueFeatures({ dataset: meds, indexDates: dates, lifeCodes: new LifeCodes() });
	t.equal(table.columns, counts.columns + 5);
	const added = (row: number) => [
		...table.values.subarray(row * table.columns + counts.columns, (row + 1) * table.columns),
	];
	const [last, mean, year, months, slope] = added(0);
	t.same([last, mean, year, months], [8, 4, 5.5, 5.5], 'the value a microsecond later is not known');
	// Least squares through days 0, 638 and 730, a year.
	const x = [0, 638, 730];
	const centre = (0 + 638 + 730) / 3;
	const expected =
		(365.25 * [1, 3, 8].reduce((sum, y, i) => sum + (x[i]! - centre) * (y - 4), 0)) /
		x.reduce((sum, day) => sum + (day - centre) ** 2, 0);
	t.ok(Math.abs(slope! - expected) < 1e-5);
	t.same(added(1), [1, 1, 1, 1, 0]);
	t.same(added(2), [1, 1, 1, 1, 0]);
	// Without the code: the means over the two training rows.
	t.same(added(3), [4.5, 2.5, 3.25, 3.25, 0]);
	t.same(
		[...table.values.subarray(0, counts.columns)],
		[...counts.values.subarray(0, counts.columns)],
		'the counts stand before them',
	);
});

t.test('codes without numbers, and numbers of too few patients, add nothing', async (t) => {
	const meds = await dataset((subject) => [
		[subject, '2020-01-01T00:00:00', 'VISIT'],
		...(subject === 1 ? [[1, '2020-01-01T00:00:00', lab, 3] as const] : []),
		[subject, '2020-01-01T00:00:00', 'BAD', 'nan'],
	]);
	const dates = [date(1, '2020-02-01T00:00:00')];
	const table = await valueFeatures({ dataset: meds, indexDates: dates, lifeCodes: new LifeCodes() });
	t.equal(
		table.columns,
		(await countFeatures({ dataset: meds, indexDates: dates, lifeCodes: new LifeCodes() })).columns,
	);
	t.ok([...table.values].every(Number.isFinite));
});
