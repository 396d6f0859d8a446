/** `metrics`: numbers of predictions that somebody made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../../lib/data/query.js';
import { predictionEstimates } from '../../../lib/evaluate/prediction-intervals.js';
import { copyToParquet } from '../../../lib/files/duckdb-files.js';
import { predictionMetrics } from '../../../lib/index.js';
import { RandomStream } from '../../../lib/random.js';
import { runCli } from '../../fixtures/run-cli.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const random = new RandomStream(9, 'cohort');
const rows = Array.from({ length: 600 }, (_, i) => {
	// Short decimals are the same numbers in SQL.
	const short = (value: number) => Math.round(1e6 * value) / 1e6;
	const risk = short(random.uniform() ** 2);
	return { subject: 1 + (i % 80), hour: i, value: random.uniform() < risk, risk, guess: short(random.uniform()) };
});
const columns =
	'subject AS subject_id, make_timestamp(1577836800000000 + hour * 3600000000) AS prediction_time, value AS boolean_value';
const ours = `SELECT ${columns}, risk AS predicted_boolean_probability, risk > 0.5 AS predicted_boolean_value FROM r ORDER BY hash(hour)`;
const theirs = `SELECT ${columns}, guess::FLOAT AS predicted_boolean_probability FROM r WHERE hour <> 5`;

async function write(name: string, select: string): Promise<string> {
	await withDatabase({ threads: 1 }, async (database) => {
		await database.run('CREATE TABLE r (subject BIGINT, hour BIGINT, value BOOLEAN, risk DOUBLE, guess DOUBLE)');
		const values = rows.map((row) => `(${Object.values(row).join(', ')})`);
		await database.run(`INSERT INTO r VALUES ${values.join(', ')}`);
		await database.run(copyToParquet(select, at(name)));
	});
	return at(name);
}

t.test('two models on the samples that both have, with paired differences', async (t) => {
	const predictions = [
		{ name: 'ours', path: await write('ours.parquet', ours) },
		{ name: 'theirs', path: await write('theirs.parquet', theirs) },
	];
	const file = await predictionMetrics({ predictions, out: at('m.json'), draws: 100 });
	const kept = rows.filter(({ hour }) => hour !== 5).sort((a, b) => a.subject - b.subject || a.hour - b.hour);
	const positives = kept.filter(({ value }) => value).length;
	t.match(file, { samples: 599, patients: 80, positives, prevalence: positives / 599 });
	t.match(file.models, [
		{ name: 'ours', rows: 600, unlabelled: 0, notInAll: 1 },
		{ name: 'theirs', rows: 599, unlabelled: 0, notInAll: 0 },
	]);
	const { models, differences } = await predictionEstimates(
		kept.map(({ subject }) => BigInt(subject)),
		kept.map(({ value }) => Number(value)),
		[kept.map(({ risk }) => risk), kept.map(({ guess }) => Math.fround(guess))],
		[[0, 1]],
		{ draws: 100, level: 0.95, seed: 1 },
	);
	t.same(
		file.models.map(({ metrics }) => metrics),
		models.map(({ metrics }) => metrics),
	);
	t.same(
		file.differences.map(({ difference }) => difference),
		differences.map(({ difference }) => difference),
	);
	t.ok(file.differences[0]!.difference.low! > 0, 'the better model is better');
	t.same(JSON.parse(readFileSync(at('m.json'), 'utf8')), JSON.parse(JSON.stringify(file)));
});

t.test('from the command line', async (t) => {
	const { status, stdout } = await runCli(
		t,
		['metrics', '--model', 'ours=ours.parquet', '--model', 'theirs=theirs.parquet', '--draws', '50'],
		folder,
	);
	t.equal(status, 0);
	t.match(stdout, /599 samples of 80 patients, \d+ positive/);
	t.match(stdout, /ours, 1 samples that others lack left out\n +AUROC +0\.\d+ \[/);
	t.match(stdout, /ours - theirs\n +AUROC +0\.\d+ \[/);
	const refused = await runCli(t, ['metrics', '--model', 'ours.parquet'], folder);
	t.equal(refused.status, 2);
	t.match(refused.stderr, /--model must be name=predictions.parquet/);
});

t.test('unlabelled rows are counted; too few patients leave nothing defined, and nothing is NaN', async (t) => {
	const some = await write('some.parquet', ours.replace('value AS', 'CASE WHEN hour % 3 > 0 THEN value END AS'));
	const counted = await predictionMetrics({ predictions: [{ name: 'a', path: some }], draws: 40 });
	t.match(counted, { samples: 400, models: [{ rows: 600, unlabelled: 200, notInAll: 0 }] });
	const few = await write('few.parquet', ours.replace('FROM r', 'FROM r WHERE subject < 5'));
	const { models } = await predictionMetrics({ predictions: [{ name: 'a', path: few }], draws: 40 });
	for (const estimate of Object.values(models[0]!.metrics))
		t.match(estimate, { value: null, undefinedReason: /patients? with a positive sample, at least 5/ });
	const one = await write('one.parquet', ours.replace('value AS', 'false AS'));
	const { models: alone } = await predictionMetrics({ predictions: [{ name: 'a', path: one }], draws: 40 });
	t.match(alone[0]!.metrics.auroc, { value: null, undefinedReason: /one class only: no positive/ });
});

t.test('what breaks a rule is refused by file, row and subject, and never by its value', async (t) => {
	const broken = (select: string) => write('broken.parquet', select);
	const with_ = (probability: string) =>
		`SELECT ${columns}, ${probability} AS predicted_boolean_probability FROM r ORDER BY hour`;
	for (const [select, message] of [
		[
			with_('CASE WHEN hour <> 7 THEN risk END'),
			/predicted_boolean_probability must be a probability, from 0 to 1 but found null in row 7, subject 8/,
		],
		[with_("CASE WHEN hour = 7 THEN 'nan'::DOUBLE ELSE risk END"), /beyond or NaN in row 7, subject 8/],
		[with_('CASE WHEN hour = 7 THEN 1.25 ELSE risk END'), /beyond or NaN in row 7, subject 8/],
		[with_('risk::VARCHAR'), /predicted_boolean_probability must be a number but found VARCHAR/],
		[with_('risk').replace('value AS', 'value::INTEGER AS'), /boolean_value must be a boolean but found INTEGER/],
		[
			with_('risk').replace('subject AS', 'CASE WHEN hour <> 7 THEN subject END AS'),
			/subject_id must not be null but found row 7/,
		],
		[`${with_('risk')} LIMIT 0`, /boolean_value must hold a label but found none/],
		[`(${with_('risk')}) UNION ALL (${with_('risk')} LIMIT 1)`, /must occur once for a subject.*subject 1/],
	] as const) {
		const refused = predictionMetrics({ predictions: [{ name: 'a', path: await broken(select) }] });
		await t.rejects(refused, { code: 'EHR_JEPA_DATA', message });
		await refused.catch(({ message: text }) => t.notMatch(text, /1\.25/));
	}
	const other = await write('other.parquet', theirs.replace('value AS', '(hour = 9) <> value AS'));
	const two = [
		{ name: 'a', path: at('ours.parquet') },
		{ name: 'b', path: other },
	];
	await t.rejects(predictionMetrics({ predictions: two }), {
		message: /boolean_value must hold the labels of .*subject 10/,
	});
	await t.rejects(predictionMetrics({ predictions: [two[0]!, two[0]!] }), {
		code: 'EHR_JEPA_CONFIG',
		message: /different names/,
	});
	await t.rejects(predictionMetrics({ predictions: [{ name: 'a', path: at('none.parquet') }] }), {
		code: 'EHR_JEPA_DATA',
	});
});
