import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { diseaseAxes } from '../../../lib/cohort/disease-axes.js';
import { hazard, LatentState, normalsPerDay } from '../../../lib/cohort/dynamics.js';
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
