import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TrajectoriesFile } from '../../../lib/evaluate/trajectories-file.js';
import { parquetFiles } from '../../../lib/files/duckdb-files.js';
import { buildTasks, type EvaluateOptions, evaluate, simulateCohort, writeEmbeddings } from '../../../lib/index.js';
import { RandomStream } from '../../../lib/random.js';
import { readTasks } from '../../../lib/tasks/read.js';
import { parquetRows } from '../../fixtures/meds-rows.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

t.setTimeout(120_000);
const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const task = {
	name: 'hospital-admission',
	label: 'Hospital admission',
	kind: 'event' as const,
	codes: { exact: [], prefix: ['HOSPITAL_ADMISSION//'] },
	horizonsDays: [180, 365],
};
let options: EvaluateOptions;
let made: TrajectoriesFile;
const read = (name: string) => TrajectoriesFile.parse(JSON.parse(readFileSync(at(name), 'utf8')));

t.before(async () => {
	await simulateCohort(at('cohort'), { patients: 130, seed: 3, latentPatients: 0 });
	const indexRules = [{ kind: 'random' as const }, { kind: 'visit' as const, every: 4 }];
	await buildTasks(at('cohort'), at('tasks'), { tasks: [task], indexRules, minHistoryDays: 1 });
	const { indexDates } = await readTasks(at('tasks'));
	const random = new RandomStream(1, 'probe');
	const values = Float32Array.from({ length: indexDates.length * 5 }, (_, i) => random.normal() * (1 + (i % 5)));
	await writeEmbeddings(at('m.parquet'), { values, rows: indexDates.length, columns: 5, samples: indexDates }, {});
	options = {
		meds: at('cohort'),
		tasks: at('tasks'),
		models: [{ name: 'm', label: 'm', kind: 'encoder', description: 'd', embeddings: at('m.parquet') }],
		out: at('evaluation.json'),
		predictions: at('predictions'),
		trajectories: at('trajectories.json'),
		draws: 40,
	};
	await evaluate(options);
	made = read('trajectories.json');
});

t.test('courses are of held-out patients, with the probabilities of the evaluation', async (t) => {
	const { indexDates } = await readTasks(at('tasks'));
	const heldOut = new Set(
		indexDates.filter(({ split }) => split === 'held_out').map(({ subjectId }) => String(subjectId)),
	);
	t.equal(made.patients.length, 3);
	const days = (rows: readonly { readonly predictionTime: bigint }[]) =>
		rows.map(({ predictionTime }) => Number(predictionTime / 86_400_000_000n)).sort((a, b) => a - b);
	for (const patient of made.patients) {
		t.ok(heldOut.has(patient.subjectId));
		const own = indexDates.filter(({ subjectId }) => String(subjectId) === patient.subjectId);
		t.ok(own.length >= 3);
		const [first] = days(own);
		t.same(
			patient.indexDays.map((day) => day - patient.indexDays[0]!),
			days(own).map((day) => day - first!),
		);
		for (const { horizonDays, probability, low, high } of patient.risks) {
			const file = parquetFiles(at(`predictions/m/hospital-admission/${horizonDays}d/held_out.parquet`));
			const rows = await parquetRows(
				`SELECT predicted_boolean_probability AS p, boolean_value AS v, epoch_us(prediction_time) AS t FROM ${file}
				WHERE subject_id = ${patient.subjectId} ORDER BY t`,
			);
			const outcome = patient.outcomes.find((one) => one.horizonDays === horizonDays)!;
			t.same(
				outcome.values.filter((value) => value !== null),
				rows.map(({ v }) => v),
			);
			const known = probability.filter((_, date) => outcome.values[date] !== null);
			t.ok(known.every((value, i) => Math.abs(value - Number(rows[i]!.p)) < 1e-6));
			t.equal(low === undefined, horizonDays !== 365, 'the longest horizon has intervals');
			if (low !== undefined) t.ok(low.every((value, i) => value < high![i]! && value > 0 && high![i]! < 1));
		}
		const events = await parquetRows(
			`SELECT count(*)::INTEGER AS n FROM ${parquetFiles(at('cohort/data/**/*.parquet'))}
			WHERE subject_id = ${patient.subjectId} AND time IS NOT NULL AND code <> 'MEDS_BIRTH'`,
		).catch(() => undefined);
		if (events !== undefined)
			t.equal(
				patient.events.flatMap(({ counts }) => counts).reduce((sum, count) => sum + count, 0),
				events[0]!.n,
			);
		t.equal(patient.moved[0]!.distance[0], 0);
		t.ok(patient.moved[0]!.distance.slice(1).every((distance) => distance > 0));
	}
	t.ok(made.strangers[0]!.distance > 1 && made.strangers[0]!.distance < 1.6, 'about the square root of two');
});

t.test('the map holds every held-out state once, with what happened after it', async (t) => {
	const { indexDates } = await readTasks(at('tasks'));
	const heldOut = indexDates.filter(({ split }) => split === 'held_out');
	const [map] = made.map.models;
	t.equal(made.map.states, heldOut.length);
	t.equal(map!.points.length, heldOut.length);
	t.equal(map!.fittedOn, indexDates.filter(({ split }) => split === 'train').length);
	t.ok(map!.explained[0] >= map!.explained[1] && map!.explained[1] > 0.15, 'of five columns without a structure');
	const rows = await parquetRows(
		`SELECT boolean_value AS v FROM ${parquetFiles(at('predictions/m/hospital-admission/365d/held_out.parquet'))}`,
	);
	const count = (values: readonly unknown[], wanted: unknown) => values.filter((value) => value === wanted).length;
	for (const value of [true, false])
		t.equal(
			count(made.map.outcomes[0]!.values, value),
			count(
				rows.map(({ v }) => v),
				value,
			),
		);
});

t.test('patients by name, the same by seed, and refusals', async (t) => {
	const { indexDates } = await readTasks(at('tasks'));
	const of = (split: string) => indexDates.find((date) => date.split === split)!.subjectId;
	const wanted = String(of('held_out'));
	const again = { ...options, predictions: at('p2'), out: at('e2.json'), trajectories: at('t2.json') };
	await evaluate({ ...again, patients: [wanted] });
	t.same(
		read('t2.json').patients.map(({ subjectId }) => subjectId),
		[wanted],
	);
	t.same(read('t2.json').map, made.map, 'the map does not depend on who is shown');
	const refused = (patients: string[], message: RegExp) =>
		t.rejects(evaluate({ ...again, predictions: at('p3'), patients }), { code: 'EHR_JEPA_CONFIG', message });
	await refused([String(of('train'))], /must be a held-out subject with states of every model but \d+ is in train/);
	await refused(['999999999'], /999999999 has no index date/);
	await refused(['x'], /must be a subject id/);
	const { trajectories: _, ...without } = options;
	await t.rejects(evaluate({ ...without, patients: [wanted] }), /patients must come with trajectories/);
});
