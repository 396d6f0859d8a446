import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { probeTable } from '../../../lib/cli/probe-table.js';
import { withDatabase } from '../../../lib/data/query.js';
import { copyToParquet, parquetFiles } from '../../../lib/files/duckdb-files.js';
import {
	buildTasks,
	type EvaluationFile,
	evaluate,
	prepareStore,
	readIndexRules,
	readLabels,
	simulateCohort,
	writeEmbeddings,
} from '../../../lib/index.js';
import { RandomStream } from '../../../lib/random.js';
import { type IndexDateRow, readTasks, sampleKey } from '../../../lib/tasks/read.js';
import { parquetRows } from '../../fixtures/meds-rows.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const task = {
	name: 'hospital-admission',
	label: 'Hospital admission',
	kind: 'event' as const,
	codes: { exact: [], prefix: ['HOSPITAL_ADMISSION//'] },
	horizonsDays: [365],
};
const anchor = {
	kind: 'anchor' as const,
	codes: { exact: [], prefix: ['DIAGNOSIS//'] },
	days: [0, 180, 365],
};
let file: EvaluationFile;
const warnings: string[] = [];

/** Classes that the first of three features tells, but for some noise; held-out has one that train does not. */
async function writeStages(dates: readonly IndexDateRow[], values: Float32Array): Promise<void> {
	const random = new RandomStream(2, 'probe');
	const isStrange = (row: number) => row === dates.findIndex(({ split }) => split === 'held_out');
	const rows = dates.map(({ subjectId, predictionTime }, row) => {
		const place = values[row * 3]! + 0.3 * random.normal();
		const stage = isStrange(row) ? 9 : place < -0.5 ? 1 : place < 0.5 ? 2 : 10;
		return `(${subjectId}::BIGINT, make_timestamp(${predictionTime}), ${stage}::BIGINT)`;
	});
	mkdirSync(at('labels/stage'), { recursive: true });
	await withDatabase({ threads: 1 }, (database) =>
		database.run(
			copyToParquet(
				`SELECT subject_id, prediction_time, NULL::BOOLEAN AS boolean_value, integer_value, NULL::VARCHAR AS categorical_value
				FROM (VALUES ${rows.join(', ')}) AS l(subject_id, prediction_time, integer_value)`,
				at('labels/stage/0.parquet'),
			),
		),
	);
}

t.before(async () => {
	await simulateCohort(at('cohort'), { patients: 130, seed: 3 });
	// Records alone: nothing of the true state is read here.
	rmSync(at('cohort/latents'), { recursive: true });
	const manifest = await prepareStore(at('cohort'), at('store'), { threads: 1 });
	const indexRules = [{ kind: 'random' as const }, { kind: 'discharge' as const }, anchor];
	const timeToEvent = { ...task, name: 'time-to-admission', kind: 'time-to-event' as const, horizonsDays: [90, 365] };
	const options = { tasks: [task, timeToEvent], indexRules, minHistoryDays: 1 };
	await buildTasks(at('cohort'), at('dates'), options);
	const { indexDates } = await readTasks(at('dates'));
	const random = new RandomStream(1, 'probe');
	const values = Float32Array.from({ length: indexDates.length * 3 }, () => random.normal());
	await writeStages(indexDates, values);
	await buildTasks(at('cohort'), at('tasks'), { ...options, externalLabels: at('labels') });
	const { list } = await readTasks(at('tasks'));
	await writeEmbeddings(
		at('m.parquet'),
		{ values, rows: indexDates.length, columns: 3, samples: indexDates },
		{
			run: 'a',
			step: '4',
			context_tokens: '48',
			store: manifest.fingerprint,
			data: list.dataFingerprint,
			splits: list.splitting.fingerprint,
			index_dates: list.indexDatesFingerprint,
			index_dates_without_tokens: '0',
		},
	);
	const models = [{ name: 'm', label: 'm', kind: 'encoder' as const, description: 'd', embeddings: at('m.parquet') }];
	file = await evaluate(
		{
			meds: at('cohort'),
			tasks: at('tasks'),
			models,
			out: at('evaluation.json'),
			store: at('store'),
			predictions: at('predictions'),
			subgroups: ['DIAGNOSIS//ICD10CM//'],
			draws: 40,
		},
		{ onWarning: (message) => warnings.push(message) },
	);
});

t.test('parts of the samples: rule, days since the anchor, sex, age, codes', async (t) => {
	t.same([...new Set(file.strata.map(({ by }) => by))].sort(), [
		'DIAGNOSIS//ICD10CM//',
		'age',
		'days since anchor',
		'rule',
		'sex',
		'year',
	]);
	const groups = (by: string) => [...new Set(file.strata.filter((row) => row.by === by).map(({ group }) => group))];
	t.same(groups('days since anchor'), ['0', '180', '365'], 'in the order of time');
	t.same(groups('rule'), ['anchor', 'discharge', 'random', 'ready-labels']);
	t.same(groups('sex'), ['F', 'M']);

	// Counts of a part are those of its labels.
	const origins = await readIndexRules(at('tasks'));
	const { indexDates } = await readTasks(at('tasks'));
	const heldOut = new Set(indexDates.filter(({ split }) => split === 'held_out').map(sampleKey));
	const labels = (await readLabels(at('tasks/hospital-admission/365d'))).filter((row) => heldOut.has(sampleKey(row)));
	for (const days of [0, 180, 365]) {
		const part = labels.filter((row) => origins.get(sampleKey(row))!.some((one) => one.daysSinceAnchor === days));
		const rows = file.strata.filter(({ by, group }) => by === 'days since anchor' && group === String(days));
		t.ok(rows.length > 0);
		for (const row of rows) {
			t.equal(row.nSamples, part.length);
			t.equal(row.nPositives, part.filter(({ value }) => value).length);
			t.equal(row.prevalence, row.nPositives / row.nSamples);
		}
	}
	const sexes = file.strata.filter(({ by, model }) => by === 'sex' && model === 'm');
	t.equal(
		sexes.reduce((sum, { nSamples }) => sum + nSamples, 0),
		labels.length,
		'each sample has one sex',
	);
});

t.test('the floor, the window and the record are read on the same samples; numbers are never NaN', async (t) => {
	t.same(file.models.map(({ name }) => name).slice(0, 6), [
		'm',
		'demographics',
		'counts',
		'counts+values',
		'boosting',
		'counts-window',
	]);
	t.same(warnings, []);
	t.equal(new Set(file.probes.map(({ nSamples, nTrainSamples }) => `${nSamples} ${nTrainSamples}`)).size, 1);
	for (const { calibration, prevalence, auroc } of file.probes) {
		t.ok(auroc.low! <= auroc.value! && auroc.value! <= auroc.high!);
		t.ok(prevalence! > 0 && prevalence! < 1);
		for (const { value, low, high } of [calibration!.expectedError, calibration!.intercept])
			t.ok(low! <= value! && value! <= high!);
		const weights = calibration!.curve.reduce((sum, { weight }) => sum + weight, 0);
		t.equal(weights, file.probes[0]!.nSamples);
	}
	t.same(
		[...new Set(file.differences.filter(({ task: name }) => name === task.name).map(({ metric }) => metric))],
		['auroc', 'averagePrecision', 'brier', 'expectedCalibrationError'],
	);
	t.notMatch(JSON.stringify(file), /NaN/);
});

t.test('calendar years, and differences of models within parts', async (t) => {
	const { indexDates } = await readTasks(at('tasks'));
	const heldOut = new Set(indexDates.filter(({ split }) => split === 'held_out').map(sampleKey));
	const labels = (await readLabels(at('tasks/hospital-admission/365d'))).filter((row) => heldOut.has(sampleKey(row)));
	const years = file.strata.filter(({ by, model }) => by === 'year' && model === 'm');
	t.ok(years.length > 1);
	for (const { group, nSamples } of years) {
		const [from, to = from] = group.split(' to ').map(Number) as [number, number?];
		const inside = labels.filter(({ predictionTime }) => {
			const year = new Date(Number(predictionTime / 1000n)).getUTCFullYear();
			return year >= from && year <= to;
		});
		t.equal(nSamples, inside.length, group);
	}
	const sexes = file.strataDifferences.filter(({ by, a, b }) => by === 'sex' && a === 'm' && b === 'counts');
	t.same([...new Set(sexes.map(({ metric }) => metric))], ['auroc', 'averagePrecision', 'brier']);
	for (const { group, difference, metric } of sexes) {
		const of = (model: string) =>
			file.strata.find((row) => row.by === 'sex' && row.group === group && row.model === model)![metric].value!;
		if (difference.value === null) continue;
		t.ok(Math.abs(difference.value - (of('m') - of('counts'))) < 1e-12);
		t.ok(difference.low! <= difference.value && difference.value <= difference.high!);
	}
	t.ok(sexes.some(({ difference }) => difference.value !== null));
});

t.test('times to events are read on the same samples by every model, whole and by part', async (t) => {
	const { timeToEvent } = file;
	t.match(timeToEvent, { probe: 'cox', tasks: [{ name: 'time-to-admission', horizonsDays: [90, 365] }] });
	const { results, strata, differences } = timeToEvent!;
	t.same(
		results.map(({ model }) => model),
		file.models.map(({ name }) => name),
	);
	t.equal(
		new Set(results.map(({ nSamples, nTrainEvents, nEvents }) => `${nSamples} ${nTrainEvents} ${nEvents}`)).size,
		1,
	);
	for (const { model, concordance, integratedAuroc, aurocs, nEvents, l2 } of results) {
		const estimates = [concordance, integratedAuroc, aurocs[1]!.auroc];
		if (model === 'boosting') t.equal(l2, null, 'trees are no linear probe');
		else t.ok(l2! > 0, model);
		t.ok(nEvents > 5, model);
		for (const { value, low, high, undefinedReason } of estimates)
			t.ok(value === null ? undefinedReason : low! <= value && value <= high!, `${low} ${value} ${high}`);
		t.not(concordance.value, null, model);
	}
	const better = results.find(({ model }) => model === 'counts')!.concordance.value!;
	const noise = results.find(({ model }) => model === 'm')!.concordance.value!;
	t.ok(better > noise, `counts ${better}, noise ${noise}`);
	const difference = differences.find(
		({ a, b, by, metric }) => by === null && a === 'm' && b === 'counts' && metric === 'concordance',
	)!;
	t.ok(Math.abs(difference.difference.value! - (noise - better)) < 1e-12);
	t.ok(strata.some(({ by }) => by === 'year') && differences.some(({ by }) => by === 'sex'));
	t.ok(file.cohortFlow.some(({ stage }) => stage === 'Hospital admission, time to event'));
	t.match(probeTable(file), /time-to-admission, C-index .*\n.*time-to-admission, AUROC at 90 d/);
});

t.test('classes are read on the same samples by every model, whole, by class and by part', async (t) => {
	const { tasks, results, strata, differences } = file.classes!;
	t.match(tasks, [{ name: 'external/stage', classes: ['1', '2', '10'], unknownClass: 1 }]);
	t.same(
		results.map(({ model }) => model),
		file.models.map(({ name }) => name),
	);
	for (const { model, accuracy, logLoss, macroAuroc, classes, nSamples, l2 } of results) {
		t.equal(l2 === null, model === 'boosting', model);
		for (const { value, low, high } of [accuracy, logLoss, macroAuroc])
			t.ok(low! <= value! && value! <= high!, `${model} ${low} ${value} ${high}`);
		const mean = classes.reduce((sum, { auroc }) => sum + auroc.value!, 0) / 3;
		t.ok(Math.abs(macroAuroc.value! - mean) < 1e-12);
		t.equal(
			classes.reduce((sum, { nPositives }) => sum + nPositives, 0),
			nSamples,
		);
		// What was written down gives the same numbers.
		const path = at(`predictions/${model}/external/stage/held_out.parquet`);
		const rows = await parquetRows(`SELECT * FROM ${parquetFiles(path)}`);
		t.equal(rows.length, nSamples);
		const right = rows.filter(({ label, predicted_class }) => label === predicted_class).length;
		t.equal(accuracy.value, right / nSamples);
		const loss = rows.reduce((sum, row) => sum - Math.log(Number(row[`probability_${row.label}`])), 0) / nSamples;
		t.ok(Math.abs(logLoss.value! - loss) < 1e-4, `${model} ${logLoss.value} ${loss}`);
	}
	const of = (name: string) => results.find(({ model }) => model === name)!;
	t.ok(of('m').macroAuroc.value! > 0.85 && of('counts').macroAuroc.value! < 0.65, 'only the states know the class');
	const found = differences.filter(({ a, b, by }) => a === 'm' && b === 'boosting' && by === null);
	t.same(
		found.map((row) => `${row.metric} ${row.class}`),
		[
			...['accuracy null', 'logLoss null', 'macroAuroc null'],
			...['1', '2', '10'].flatMap((name) => [`auroc ${name}`, `averagePrecision ${name}`]),
		],
	);
	for (const { metric, class: name, difference } of found) {
		const value = (model: string) =>
			metric === 'auroc' || metric === 'averagePrecision'
				? of(model).classes.find((one) => one.name === name)![metric].value!
				: of(model)[metric].value!;
		t.ok(Math.abs(difference.value! - (value('m') - value('boosting'))) < 1e-12, `${metric} ${name}`);
		t.ok(difference.low! <= difference.value! && difference.value! <= difference.high!);
	}
	const sexes = strata.filter(({ by, model }) => by === 'sex' && model === 'm');
	t.equal(
		sexes.reduce((sum, { nSamples }) => sum + nSamples, 0),
		of('m').nSamples,
	);
	t.ok(differences.some(({ by, metric }) => by === 'sex' && metric === 'logLoss'));
	t.ok(file.cohortFlow.some(({ stage }) => stage === 'stage, classes'));
	t.match(probeTable(file), /external\/stage, macro AUROC/);
});

t.test('predictions of every model, as meds-evaluation reads them', async (t) => {
	t.same(readdirSync(at('predictions')).sort(), [
		'boosting',
		'counts',
		'counts+values',
		'counts-window',
		'demographics',
		'm',
	]);
	const path = at('predictions/m/hospital-admission/365d/held_out.parquet');
	const rows = await parquetRows(`SELECT * FROM ${parquetFiles(path)}`);
	t.same(Object.keys(rows[0]!), [
		'subject_id',
		'prediction_time',
		'boolean_value',
		'predicted_boolean_value',
		'predicted_boolean_probability',
	]);
	const probe = file.probes.find(({ model }) => model === 'm')!;
	t.equal(rows.length, probe.nSamples);
	const brier =
		rows.reduce((sum, row) => sum + (Number(row.predicted_boolean_probability) - Number(row.boolean_value)) ** 2, 0) /
		rows.length;
	t.ok(Math.abs(brier - probe.brier.value!) < 1e-6);
	for (const { model, nSamples, concordance } of file.timeToEvent!.results) {
		const risks = await parquetRows(
			`SELECT * FROM ${parquetFiles(at(`predictions/${model}/time-to-admission/time-to-event/held_out.parquet`))}`,
		);
		t.same(Object.keys(risks[0]!).slice(2), ['boolean_value', 'float_value', 'risk_score', 'risk_90d', 'risk_365d']);
		t.equal(risks.length, nSamples);
		const [seen, days, score, early, late] = Object.keys(risks[0]!)
			.slice(2)
			.map((column) => Float64Array.from(risks, (row) => Number(row[column]))) as [Float64Array, ...Float64Array[]];
		t.ok(
			early!.every((risk, i) => risk >= 0 && risk <= late![i]! && late![i]! <= 1),
			'risks are probabilities and grow',
		);
		let [pairs, right] = [0, 0];
		for (let i = 0; i < seen.length; i++) {
			for (let j = 0; j < seen.length; j++) {
				if (seen[i] !== 1 || !(days![j]! > days![i]! || (days![j] === days![i] && seen[j] === 0))) continue;
				pairs++;
				right += score![i]! > score![j]! ? 1 : score![i] === score![j] ? 0.5 : 0;
			}
		}
		t.ok(Math.abs(right / pairs - concordance.value!) < 1e-4, `${model}: C of the file is that of evaluation.json`);
	}
	await t.rejects(
		evaluate({
			meds: at('cohort'),
			tasks: at('tasks'),
			models: [{ name: 'a/b', label: 'm', kind: 'encoder', description: 'd', embeddings: at('m.parquet') }],
			out: at('e.json'),
			predictions: at('p'),
		}),
		{ code: 'EHR_JEPA_CONFIG', message: /must do for a folder/ },
	);
});
