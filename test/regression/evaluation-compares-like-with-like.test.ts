/** Promise: evaluation compares like with like. What belongs to other data or is not there is refused or counted. */
import { join } from 'node:path';
import t from 'tap';
import { quoted, withDatabase } from '../../lib/data/query.js';
import { readEmbeddings, writeEmbeddings } from '../../lib/evaluate/embeddings.js';
import { evaluate } from '../../lib/evaluate/evaluate.js';
import type { EvaluationFile } from '../../lib/evaluate/evaluation-file.js';
import { requireSameSource } from '../../lib/evaluate/provenance.js';
import { copyToParquet, keyValueMetadata, parquetFiles } from '../../lib/files/duckdb-files.js';
import { buildTasks, prepareStore, simulateCohort } from '../../lib/index.js';
import { RandomStream } from '../../lib/random.js';
import { type IndexDateRow, readTasks, type TaskList } from '../../lib/tasks/read.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const columns = 4;
let list: TaskList;
let dates: readonly IndexDateRow[];
let pairs: Record<string, string>;
const store = at('store');

t.before(async () => {
	await simulateCohort(at('cohort'), { patients: 80, seed: 3 });
	const manifest = await prepareStore(at('cohort'), store, { threads: 1 });
	await buildTasks(at('cohort'), at('tasks'));
	({ list, indexDates: dates } = await readTasks(at('tasks')));
	pairs = {
		run: 'a'.repeat(64),
		step: '4',
		context_tokens: '48',
		store: manifest.fingerprint,
		data: list.dataFingerprint,
		splits: list.splitting.fingerprint,
		index_dates: list.indexDatesFingerprint,
		index_dates_without_tokens: '0',
		pooling: 'mean',
	};
	await states('good', pairs);
});

/** Writes states of some index dates; the same numbers for the same index date. */
async function states(
	name: string,
	metadata: Record<string, string>,
	samples: readonly IndexDateRow[] = dates,
	scale = 1,
): Promise<string> {
	const values = Float32Array.from(
		samples.flatMap(({ subjectId, predictionTime }) => {
			const random = new RandomStream(1, 'probe', Number(subjectId), Number(predictionTime % 65_521n));
			return Array.from({ length: columns }, () => scale * random.normal());
		}),
	);
	const file = at(`${name}.parquet`);
	await writeEmbeddings(file, { values, rows: samples.length, columns, samples }, metadata);
	return file;
}

/** Writes a copy of the good states by SQL. */
async function changed(name: string, select: string, metadata = pairs): Promise<string> {
	await withDatabase({ threads: 1 }, async (database) => {
		const good = parquetFiles(at('good.parquet'));
		const sql = select.replaceAll('GOOD', good);
		await database.run(copyToParquet(sql, at(`${name}.parquet`), keyValueMetadata(metadata)));
	});
	return at(`${name}.parquet`);
}

const model = (embeddings: string, name = 'm') => ({
	name,
	label: name,
	kind: 'encoder' as const,
	description: 'd',
	embeddings,
});

function evaluated(embeddings: string | string[], more: object = {}, warnings: string[] = []): Promise<EvaluationFile> {
	const files = typeof embeddings === 'string' ? [embeddings] : embeddings;
	const models = files.map((file, i) => model(file, i === 0 ? 'm' : `m${i}`));
	return evaluate(
		{ meds: at('cohort'), tasks: at('tasks'), models, out: at('evaluation.json'), draws: 40, ...more },
		{ onWarning: (message) => warnings.push(message) },
	);
}

t.test('states that belong to the tasks are read without a word', async (t) => {
	const warnings: string[] = [];
	const file = await evaluated(at('good.parquet'), { store }, warnings);
	t.same(warnings, []);
	t.match(file.models[0]!.states, { rows: dates.length, withoutState: 0, otherRows: 0, source: { pooling: 'mean' } });
});

t.test('states of other data, splits, index dates or of another store are refused', async (t) => {
	const other = 'b'.repeat(64);
	for (const [key, rule] of [
		['data', /the data set of the tasks/],
		['splits', /the splits of the tasks/],
		['index_dates', /the index dates of the tasks/],
		['store', /the token store that is named/],
	] as const) {
		const file = await states(`other-${key}`, { ...pairs, [key]: other });
		await t.rejects(evaluated(file, { store }), { code: 'EHR_JEPA_DATA', file, message: rule }, key);
	}
	await buildTasks(at('cohort'), at('tasks-2'), { tasks: [deathTask], seed: 2 });
	await t.rejects(evaluated(at('good.parquet'), { tasks: at('tasks-2') }), { message: /the index dates of the tasks/ });
});
const deathTask = {
	name: 'death',
	label: 'Death',
	kind: 'event' as const,
	codes: { exact: ['MEDS_DEATH'], prefix: [] },
	horizonsDays: [365],
};

t.test('a bad row is named: file, row, subject', async (t) => {
	const { subjectId } = dates[5]!;
	const place = `CASE WHEN n = 5 THEN`;
	const numbered = 'FROM (SELECT *, row_number() OVER () - 1 AS n FROM GOOD)';
	const nan = (value: string) =>
		`SELECT subject_id, prediction_time, ${place} ${value} ELSE embedding END AS embedding ${numbered}`;
	const row = new RegExp(`in row 5, subject ${subjectId}`);
	for (const [name, select, what] of [
		['nan', nan("[1, 2, 'nan'::FLOAT, 3]::FLOAT[]"), /must hold finite numbers.*NaN at place 2/],
		['infinity', nan("[1, 'inf'::FLOAT, 2, 3]::FLOAT[]"), /infinity at place 1/],
		['null-item', nan('[1, NULL, 2, 3]::FLOAT[]'), /null at place 1/],
		['null', nan('NULL'), /must not be null/],
		[
			'beyond',
			`SELECT subject_id, prediction_time, ${place} [1, 2, 3, 1e300]::DOUBLE[] ELSE embedding::DOUBLE[] END AS embedding ${numbered}`,
			/a larger number at place 3/,
		],
		['narrower', nan('[1, 2]::FLOAT[]'), /of one width.* found 2 numbers in row 5, .*where others have up to 4/],
		['no-numbers', nan('[]::FLOAT[]'), /at least one number long but found 0 numbers in row 5/],
		[
			'no-time',
			`SELECT subject_id, ${place} NULL ELSE prediction_time END AS prediction_time, embedding ${numbered}`,
			/column prediction_time must not be null/,
		],
	] as const) {
		const file = await changed(name, select);
		await t.rejects(readEmbeddings(file), { code: 'EHR_JEPA_DATA', file, message: what }, name);
		await t.rejects(readEmbeddings(file), { message: row }, `${name}: row and subject`);
	}
	const twice = await changed(
		'twice',
		'SELECT * FROM GOOD UNION ALL (SELECT subject_id, prediction_time, [9, 9, 9, 9]::FLOAT[] FROM GOOD LIMIT 1)',
	);
	await t.rejects(readEmbeddings(twice), { message: /must occur once for a subject.*row 0 again in row \d+, subject/ });
	const none = await changed('no-rows', 'SELECT * FROM GOOD LIMIT 0');
	await t.rejects(readEmbeddings(none), {
		code: 'EHR_JEPA_DATA',
		message: /must hold at least one row but found none/,
	});
	const subject = await changed(
		'no-subject',
		`SELECT ${place} NULL ELSE subject_id END AS subject_id, prediction_time, embedding ${numbered}`,
	);
	await t.rejects(readEmbeddings(subject), { message: /subject_id must not be null.*row 5/ });
});

t.test('columns of another type are refused, and lists of other numbers are read', async (t) => {
	const text = await changed('text', "SELECT subject_id, prediction_time, ['a'] AS embedding FROM GOOD");
	await t.rejects(readEmbeddings(text), { message: /column embedding must be a list of numbers.*VARCHAR/ });
	const missing = await changed('missing', 'SELECT subject_id, prediction_time FROM GOOD');
	await t.rejects(readEmbeddings(missing), { message: /column embedding must be a list of numbers.*missing/ });
	const real = await changed('real', 'SELECT subject_id::DOUBLE AS subject_id, prediction_time, embedding FROM GOOD');
	await t.rejects(readEmbeddings(real), { message: /column subject_id must be a whole number/ });
	for (const type of ['BIGINT', 'DOUBLE', 'INTEGER']) {
		const file = await changed(type, `SELECT subject_id, prediction_time, embedding::${type}[] AS embedding FROM GOOD`);
		t.equal((await readEmbeddings(file)).rows, dates.length, type);
	}
});

t.test('missing rows are refused, or counted where a file says nothing of itself', async (t) => {
	await t.rejects(evaluated(await states('short', pairs, dates.slice(7))), {
		message: /must hold the \d+ rows that were written.*so rows are missing/,
	});
	const left = await states('left-out', { ...pairs, index_dates_without_tokens: '7' }, dates.slice(7));
	const warnings: string[] = [];
	const { models, probes } = await evaluated([at('good.parquet'), left], {}, warnings);
	t.match(models[1]!.states, { rows: dates.length - 7, withoutState: 7 });
	t.match(warnings.join(), /m1: 7 index dates have no state: no model is read on them/);
	for (const task of new Set(probes.map(({ task, horizonDays }) => `${task} ${horizonDays}`))) {
		const counts = probes
			.filter(({ task: name, horizonDays }) => `${name} ${horizonDays}` === task)
			.map(({ nSamples, nTrainSamples }) => `${nSamples} ${nTrainSamples}`);
		t.equal(new Set(counts).size, 1, `${task}: every model on the same samples`);
	}
	const foreign: string[] = [];
	const file = await evaluated(await states('foreign', {}, dates.slice(3)), {}, foreign);
	t.match(file.models[0]!.states, { withoutState: 3, source: null });
	t.match(foreign.join(), /3 index dates have no state.*does not say what it was made from/);
	const elsewhere = dates.map((date) => ({ ...date, predictionTime: date.predictionTime + 1n }));
	await t.rejects(evaluated(await states('elsewhere', {}, elsewhere)), {
		message: /index dates of the tasks.*none of them/,
	});
});

t.test('two models of one name, and too few resamples, are refused', async (t) => {
	const good = at('good.parquet');
	const refused = (models: object[], more: object = {}) =>
		evaluate({ meds: at('cohort'), tasks: at('tasks'), out: at('e.json'), models, ...more } as never);
	await t.rejects(refused([model(good), model(good)]), { code: 'EHR_JEPA_CONFIG', message: /two are called m/ });
	await t.rejects(refused([model(good, 'counts')]), { code: 'EHR_JEPA_CONFIG', message: /two are called counts/ });
	for (const draws of [1, 39])
		await t.rejects(refused([model(good)], { draws }), { code: 'EHR_JEPA_CONFIG', message: /draws/ });
});

t.test('small features count, whatever their size', async (t) => {
	const [one, small] = [
		await evaluated(at('good.parquet')),
		await evaluated(await states('small', pairs, dates, 1e-7)),
	];
	const values = (file: EvaluationFile) =>
		file.probes.filter(({ model }) => model === 'm').map(({ auroc }) => auroc.value);
	t.ok(values(one).some((value) => value !== null && value !== 0.5));
	for (const [i, value] of values(one).entries()) {
		if (value === null) t.equal(values(small)[i], null);
		else t.ok(Math.abs(values(small)[i]! - value) < 0.02, `${values(small)[i]} is about ${value}`);
	}
});

t.test('store and tasks of different data, splits or codes of birth do not go together', async (t) => {
	const manifest = await prepareStore(at('cohort'), at('store-2'), { threads: 1 });
	t.doesNotThrow(() => requireSameSource('s', manifest, list, 'embed'));
	const wrong = (tasks: Partial<TaskList>, message: RegExp) =>
		t.throws(() => requireSameSource('s', manifest, { ...list, ...tasks }, 'embed'), {
			code: 'EHR_JEPA_DATA',
			message,
		});
	wrong({ dataFingerprint: 'x' }, /the data set of the tasks/);
	wrong({ splitting: { source: 'file', fingerprint: 'x' } }, /the splits of the tasks/);
	wrong({ lifeCodes: { birth: ['B'], death: [] } }, /the codes of birth and death/);
});

t.test('index dates that were changed after the labels are refused', async (t) => {
	await buildTasks(at('cohort'), at('tasks-3'), { tasks: [deathTask] });
	const file = join(at('tasks-3'), 'index_dates.parquet');
	await withDatabase({ threads: 1 }, (database) =>
		database.run(
			`CREATE TABLE d AS SELECT subject_id, prediction_time, 'train' AS split FROM ${parquetFiles(file)};
			COPY d TO ${quoted(file)} (FORMAT parquet)`,
		),
	);
	await t.rejects(evaluated(at('good.parquet'), { tasks: at('tasks-3') }), {
		message: /must hold the index dates of tasks\.json/,
	});
});
