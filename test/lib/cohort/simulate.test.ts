import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { codeIndex } from '../../../lib/cohort/codes.js';
import { diseaseAxes } from '../../../lib/cohort/disease-axes.js';
import { drawTraits, hazard, LatentState, normalsPerDay } from '../../../lib/cohort/dynamics.js';
import { simulatePatient } from '../../../lib/cohort/record.js';
import { simulateCohort } from '../../../lib/cohort/simulate.js';
import { openMeds } from '../../../lib/data/meds.js';
import { withDatabase } from '../../../lib/data/query.js';
import { RandomStream } from '../../../lib/random.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

t.test('the cohort is valid MEDS, by seed, with the true state of every day', async (t) => {
	const folder = temporaryFolder(t);
	const [a, b] = [join(folder, 'a'), join(folder, 'b')];
	const summary = await simulateCohort(a, { patients: 60, seed: 3 });
	await simulateCohort(b, { patients: 60, seed: 3 });
	const dataset = await openMeds(a);
	t.equal(dataset.events, summary.events);
	t.equal(dataset.notes.length, 0);
	t.equal(dataset.subjects.train.length + dataset.subjects.tuning.length + dataset.subjects.held_out.length, 60);
	for (const file of ['data/train/0.parquet', 'metadata/codes.parquet', 'latents/0.parquet']) {
		t.ok(readFileSync(join(a, file)).equals(readFileSync(join(b, file))), `${file} is the same for the same seed`);
	}
	await withDatabase({}, async (database) => {
		const events = `read_parquet('${a}/data/*/*.parquet')`;
		const [codes] = await database.rows(
			`SELECT count(*)::INTEGER AS n FROM ${events} WHERE code NOT IN (SELECT code FROM read_parquet('${a}/metadata/codes.parquet'))`,
		);
		t.equal(codes?.n, 0, 'every code is described');
		const types = await database.rows(`DESCRIBE SELECT * FROM ${events}`);
		t.same(
			types.map((row) => [row.column_name, row.column_type]),
			[
				['subject_id', 'BIGINT'],
				['time', 'TIMESTAMP'],
				['code', 'VARCHAR'],
				['numeric_value', 'FLOAT'],
			],
		);
		const [late] = await database.rows(
			`SELECT count(*)::INTEGER AS n FROM ${events} e JOIN (SELECT subject_id, time FROM ${events} WHERE code = 'MEDS_DEATH') d USING (subject_id) WHERE e.time > d.time`,
		);
		t.equal(late?.n, 0, 'nothing happens after death');
		const [latents] = await database.rows(
			`SELECT count(*)::INTEGER AS n, count(DISTINCT subject_id)::INTEGER AS s FROM read_parquet('${a}/latents/*.parquet')`,
		);
		t.equal(latents?.n, summary.patientDays);
		t.equal(latents?.s, 60);
	});
});

t.test('the files do not depend on the number of threads, nor on which states are written', async (t) => {
	const folder = temporaryFolder(t);
	const make = async (name: string, options: object) => {
		await simulateCohort(join(folder, name), { patients: 1100, seed: 2, minYears: 0.2, maxYears: 0.4, ...options });
		return readdirSync(join(folder, name), { recursive: true })
			.map(String)
			.filter((file) => file.endsWith('.parquet') || file.endsWith('.json'))
			.sort();
	};
	const files = await make('one', { threads: 1 });
	t.same(await make('three', { threads: 3 }), files);
	t.ok(files.includes('data/train/2.parquet') && files.includes('latents/2.parquet'), files.join());
	for (const file of files)
		t.ok(readFileSync(join(folder, 'one', file)).equals(readFileSync(join(folder, 'three', file))), file);
	const few = await make('few', { latentPatients: 600 });
	t.same(
		files.filter((file) => !few.includes(file)),
		['latents/2.parquet'],
	);
	for (const file of few.filter((name) => name !== 'latents/1.parquet'))
		t.ok(readFileSync(join(folder, 'one', file)).equals(readFileSync(join(folder, 'few', file))), file);
	const none = await make('none', { latentPatients: 0 });
	t.same(
		none,
		files.filter((file) => !file.startsWith('latents')),
	);
	await withDatabase({}, async (database) => {
		const [row] = await database.rows(
			`SELECT count(DISTINCT subject_id)::INTEGER AS n, max(subject_id)::INTEGER AS last FROM read_parquet('${folder}/few/latents/*.parquet')`,
		);
		t.same(row, { n: 600, last: 600 });
		// Subjects ascend within a shard and over the shards of a split.
		const [backwards] = await database.rows(
			`SELECT count(*)::INTEGER AS n FROM (SELECT subject_id, time, lag(subject_id) OVER w AS s, lag(time) OVER w AS earlier
			FROM read_parquet('${folder}/one/data/train/*.parquet', filename = true, file_row_number = true)
			WINDOW w AS (ORDER BY filename, file_row_number)) WHERE subject_id < s OR (subject_id = s AND (time < earlier OR (time IS NULL AND earlier IS NOT NULL)))`,
		);
		t.equal(backwards?.n, 0);
	});
});

t.test('daily chances are those of the equations', async (t) => {
	// Patients whose course is short and the same on average: visits per lived day against their mean intensity.
	let visits = 0;
	let days = 0;
	let expected = 0;
	const visit = codeIndex('VISIT//OUTPATIENT');
	for (let index = 0; index < 1500; index++) {
		const { codes, severity } = simulatePatient(4, index, [0.3, 0.3]);
		visits += codes.filter((code) => code === visit).length - 1;
		const traits = drawTraits(new RandomStream(4, 'cohort', index, 0));
		for (let day = 1; day < severity[0]!.length; day++) {
			const burden = severity.reduce((sum, column) => sum + Math.max(0, column[day]!), 0);
			expected += 1 - Math.exp((-3.2 * traits.careSeeking * Math.exp(0.22 * burden)) / 365.25);
			days++;
		}
	}
	// In hospital nobody visits: a few per cent of the days. The standard error is two per cent.
	t.ok(Math.abs(visits / expected - 0.98) < 0.06, `${visits} visits in ${days} days, expected ${expected.toFixed(0)}`);
});

t.test('a patient does not depend on who else is simulated', async (t) => {
	const one = simulatePatient(5, 17, [3, 8]);
	simulatePatient(5, 16, [3, 8]);
	t.same(simulatePatient(5, 17, [3, 8]), one);
	t.not(simulatePatient(6, 17, [3, 8]).severity.join(), one.severity.join());
});

t.test('the dynamics point the right way', async (t) => {
	const state = () => {
		const traits = {
			female: true,
			entryAge: 60,
			drift: new Float64Array(5).fill(0.1),
			response: new Float64Array(5).fill(0.6),
			careSeeking: 1,
		};
		const result = new LatentState(traits, new RandomStream(1, 'cohort'));
		result.severity.fill(0.4);
		result.rate.fill(0.1);
		return result;
	};
	const well = state();
	const ill = state();
	ill.severity.fill(2.5);
	const hazards = (one: LatentState, age: number) => {
		one.readHazards(age);
		return [...one.hazards] as [visit: number, admission: number, death: number];
	};
	const [visits, admissions, deaths] = hazards(well, 60);
	const worse = hazards(ill, 60);
	t.ok(worse[hazard.death] > 5 * deaths);
	t.ok(hazards(well, 85)[hazard.death] > deaths);
	t.ok(worse[hazard.admission] > admissions);
	t.ok(worse[hazard.visit] > visits);
	const worsening = state();
	worsening.rate.fill(1);
	t.ok(hazards(worsening, 60)[hazard.admission] > admissions, 'momentum counts, not severity alone');
	const treated = state();
	treated.treated.fill(1);
	const sums = [well, treated].map((one) => {
		const random = new RandomStream(9, 'cohort');
		const noise = new Float64Array(365 * normalsPerDay);
		random.normals(noise);
		for (let day = 0; day < 365; day++) one.advance(noise, day * normalsPerDay);
		return one.severity.reduce((sum, severity) => sum + severity, 0);
	});
	t.ok(sums[1]! < sums[0]! - 1, 'a drug lowers severity');
	t.ok([...well.severity].every((severity) => severity >= -1));
	t.equal(diseaseAxes.length, 5);
});

t.test('nothing is written over, and nothing is left after an abort', async (t) => {
	const folder = temporaryFolder(t);
	mkdirSync(join(folder, 'full'));
	writeFileSync(join(folder, 'full', 'mine.txt'), 'keep');
	await t.rejects(simulateCohort(join(folder, 'full'), { patients: 2 }), {
		code: 'EHR_JEPA_OUTPUT',
		message: /must be empty or absent but holds 1 entries \(mine\.txt\)/,
	});
	t.equal(readFileSync(join(folder, 'full', 'mine.txt'), 'utf8'), 'keep');
	const signal = AbortSignal.timeout(30);
	await t.rejects(simulateCohort(join(folder, 'new'), { patients: 100_000 }, { signal }), { code: 'ABORT_ERR' });
	t.same(readdirSync(folder), ['full']);
	await t.rejects(simulateCohort(join(folder, 'x'), { patients: 0 }), { code: 'EHR_JEPA_CONFIG' });
	await t.rejects(simulateCohort(join(folder, 'x'), { minYears: 5, maxYears: 4 }), {
		message: /must not exceed maxYears/,
	});
});
