import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../../lib/data/query.js';
import { medsEvaluation } from '../../../lib/evaluate/meds-evaluation.js';
import { copyToParquet, parquetFiles } from '../../../lib/files/duckdb-files.js';
import { probeFeatures } from '../../../lib/index.js';
import { RandomStream } from '../../../lib/random.js';
import { parquetRows } from '../../fixtures/meds-rows.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);

const time = 'make_timestamp(1577836800000000) + to_days(((n % 4) * 30)::INTEGER)';
/** 300 patients with four samples each; the outcome follows the first of three features. */
const samples = (() => {
	const random = new RandomStream(3, 'cohort');
	return Array.from({ length: 1200 }, (_, n) => {
		const features = [random.normal(), 5 + 2 * random.normal(), 7];
		return { n, subject: 1 + (n >> 2), features, value: random.uniform() < 1 / (1 + Math.exp(-2 * features[0]!)) };
	});
})();
const splitSql = "CASE WHEN subject % 10 < 6 THEN 'train' WHEN subject % 10 < 8 THEN 'tuning' ELSE 'held_out' END";

async function write(name: string, select: string): Promise<string> {
	await withDatabase({ threads: 1 }, async (database) => {
		await database.run('CREATE TABLE s (n INTEGER, subject BIGINT, features DOUBLE[], value BOOLEAN)');
		const rows = samples.map(
			({ n, subject, features, value }) => `(${n}, ${subject}, [${features.join(', ')}], ${value})`,
		);
		await database.run(`INSERT INTO s VALUES ${rows.join(', ')}`);
		await database.run(copyToParquet(select, at(name)));
	});
	return at(name);
}
const features = write(
	'features.parquet',
	`SELECT subject AS subject_id, ${time} AS prediction_time, features AS vector, ${splitSql} AS split FROM s`,
);
const labels = write(
	'labels.parquet',
	`SELECT subject AS subject_id, ${time} AS prediction_time, value AS boolean_value FROM s`,
);

t.test('features of anybody, with their splits beside them', async (t) => {
	const file = await probeFeatures({
		features: await features,
		column: 'vector',
		labels: await labels,
		out: at('out'),
		draws: 60,
	});
	t.match(file, {
		features: { columns: 3 },
		samples: { train: 720, tuning: 240, held_out: 240 },
		patients: { train: 180, tuning: 60, held_out: 60 },
		excluded: { unlabelled: 0, repeated: 0, withoutFeatures: 0, withoutSplit: 0 },
		featuresWithoutLabel: 0,
	});
	const { auroc, calibrationSlope, expectedCalibrationError } = file.metrics;
	t.ok(auroc!.value! > 0.75 && auroc!.low! < auroc!.value! && auroc!.value! < auroc!.high!);
	t.ok(Math.abs(calibrationSlope!.value! - 1) < 0.5, `slope ${calibrationSlope!.value}`);
	t.ok(expectedCalibrationError!.value! < 0.15);
	t.equal(file.probe.weight[2], 0, 'a constant feature says nothing');

	// The coefficients alone give the predictions.
	const { mean, scale, weight, intercept, clip } = file.probe;
	const predictions = await parquetRows(`SELECT * FROM ${parquetFiles(at('out/predictions-held_out.parquet'))}`);
	t.same(Object.keys(predictions[0]!), [
		'subject_id',
		'prediction_time',
		'boolean_value',
		'predicted_boolean_value',
		'predicted_boolean_probability',
	]);
	t.equal(predictions.length, 240);
	const heldOut = samples.filter(({ subject }) => subject % 10 >= 8);
	for (const [i, sample] of heldOut.entries()) {
		const margin = sample.features.reduce(
			(sum, x, k) => sum + weight[k]! * Math.max(-clip, Math.min(clip, (x - mean[k]!) * scale[k]!)),
			intercept,
		);
		const row = predictions[i]!;
		const probability = Number(row.predicted_boolean_probability);
		if (Math.abs(probability - 1 / (1 + Math.exp(-margin))) > 1e-6) t.fail(`row ${i}: ${probability}`);
		if (String(row.boolean_value) !== String(sample.value)) t.fail(`label of row ${i}`);
		if (String(row.predicted_boolean_value) !== String(probability > 0.5)) t.fail(`decision of row ${i}`);
	}
	const compatible = JSON.parse(readFileSync(at('out/meds-evaluation.json'), 'utf8')) as Record<string, object>;
	t.match(compatible.samples_equally_weighted, { roc_auc_score: auroc!.value, brier_score: file.metrics.brier!.value });
});

t.test('splits in a file of their own; what is left out is counted', async (t) => {
	const splits = await write(
		'splits.parquet',
		`SELECT DISTINCT subject AS subject_id, ${splitSql} AS split FROM s WHERE subject <> 7`,
	);
	const some = await write(
		'some.parquet',
		`SELECT subject AS subject_id, ${time} AS prediction_time, features AS embedding FROM s WHERE n >= 8`,
	);
	const partly = await write(
		'partly.parquet',
		`SELECT subject AS subject_id, ${time} AS prediction_time, CASE WHEN n % 100 = 99 THEN NULL ELSE value END AS boolean_value FROM s WHERE n < 1190`,
	);
	const file = await probeFeatures({ features: some, labels: partly, splits, out: at('counted'), draws: 40 });
	t.match(file, {
		excluded: { unlabelled: 11, withoutFeatures: 8, withoutSplit: 4 },
		// Eleven of null labels, ten without any.
		featuresWithoutLabel: 21,
	});
	const folderOfLabels = at('labels');
	mkdirSync(folderOfLabels);
	await write(
		'labels/0.parquet',
		`SELECT subject AS subject_id, ${time} AS prediction_time, value AS boolean_value FROM s`,
	);
	const apart = await write(
		'apart.parquet',
		`SELECT subject AS subject_id, ${time} AS prediction_time, features AS embedding, 'train' AS split FROM s`,
	);
	const warnings: string[] = [];
	const onWarning = (message: string) => void warnings.push(message);
	await probeFeatures({ features: apart, labels: partly, splits, out: at('apart'), draws: 40 }, { onWarning });
	t.match(warnings.join(), /^119 subjects are in another split by the column split of the features/);
	const again = await probeFeatures({ features: some, labels: folderOfLabels, splits, out: at('folder'), draws: 40 });
	t.equal(again.samples.held_out, 240);
});

t.test('what cannot be read or fitted is refused by name, and nothing is left', async (t) => {
	const nosplit = await write(
		'nosplit.parquet',
		`SELECT subject AS subject_id, ${time} AS prediction_time, features AS embedding FROM s`,
	);
	const two = await write(
		'two.parquet',
		`SELECT subject AS subject_id, ${time} AS prediction_time, features AS embedding, CASE WHEN n = 5 THEN 'tuning' ELSE 'train' END AS split FROM s`,
	);
	const other = await write(
		'other.parquet',
		`SELECT subject + 5000 AS subject_id, ${time} AS prediction_time, value AS boolean_value FROM s`,
	);
	const out = at('refused');
	await t.rejects(probeFeatures({ features: nosplit, labels: await labels, out }), { message: /--splits/ });
	await t.rejects(probeFeatures({ features: two, labels: await labels, out }), {
		message: /column split must be the same in each row of a subject but found train, tuning for subject 2/,
	});
	await t.rejects(probeFeatures({ features: await features, labels: await labels, out }), { message: /embedding/ });
	await t.rejects(probeFeatures({ features: await features, column: 'vector', labels: other, out }), {
		message: /no samples in train; 1200 labels without features/,
	});
	await t.rejects(probeFeatures({ features: await features, labels: at('none'), out, column: 'vector' }), {
		code: 'EHR_JEPA_DATA',
	});
	const aborted = AbortSignal.abort();
	await t.rejects(
		probeFeatures({ features: await features, labels: await labels, out, column: 'vector' }, { signal: aborted }),
		{ code: 'ABORT_ERR' },
	);
	t.notOk(existsSync(out));
});

t.test('meds-evaluation: its own golden case, and bins that are counted once', async (t) => {
	const golden = medsEvaluation([0.9, 0.1, 0.2], [1, 0, 1], [1n, 2n, 3n]);
	for (const block of Object.values(golden)) {
		const expected = {
			binary_accuracy: 2 / 3,
			f1_score: 2 / 3,
			roc_auc_score: 1,
			average_precision_score: 1,
			calibration_error: 1 / 3,
			brier_score: 0.22,
		};
		for (const [name, value] of Object.entries(expected)) {
			t.ok(
				Math.abs(block[name as keyof typeof block]! - value) < 1e-12,
				`${name} ${block[name as keyof typeof block]}`,
			);
		}
	}
	t.match(medsEvaluation([0.2, 0.3], [0, 0], [1n, 1n]).samples_equally_weighted, {
		roc_auc_score: null,
		f1_score: null,
	});
	// Three samples of one subject weigh as much as one of another.
	t.equal(
		medsEvaluation([0.9, 0.9, 0.9, 0.9], [0, 0, 0, 1], [1n, 1n, 1n, 2n]).subjects_equally_weighted.binary_accuracy,
		0.5,
	);
});
