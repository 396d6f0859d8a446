import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../../lib/data/query.js';
import { copyToParquet, parquetFiles } from '../../../lib/files/duckdb-files.js';
import { probeClasses, probeNumbers, probeSurvival } from '../../../lib/index.js';
import { RandomStream } from '../../../lib/random.js';
import { parquetRows } from '../../fixtures/meds-rows.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);

/** 300 patients with three samples each; the first of two features sets the hazard and the class. */
const samples = (() => {
	const random = new RandomStream(5, 'cohort');
	return Array.from({ length: 900 }, (_, n) => {
		const features = [random.normal(), 3 + random.normal()];
		const time = -Math.log(random.uniform()) * 200 * Math.exp(-1.2 * features[0]!);
		const end = 20 + 600 * random.uniform();
		const place = 1.5 * features[0]! + random.normal();
		const klass = place < -0.8 ? 'mild' : place < 0.8 ? 'moderate' : 'severe';
		return { n, subject: 1 + Math.floor(n / 3), features, days: Math.min(time, end), event: time <= end, klass };
	});
})();
const keys = 'subject AS subject_id, make_timestamp(1577836800000000) + to_days((n % 3)::INTEGER) AS prediction_time';
const split =
	"CASE WHEN subject % 10 < 6 THEN 'train' WHEN subject % 10 < 8 THEN 'tuning' ELSE 'held_out' END AS split";

async function write(name: string, select: string): Promise<string> {
	await withDatabase({ threads: 1 }, async (database) => {
		await database.run(
			'CREATE TABLE s (n INTEGER, subject BIGINT, features DOUBLE[], days DOUBLE, event BOOLEAN, klass VARCHAR)',
		);
		const rows = samples.map(
			(s) => `(${s.n}, ${s.subject}, [${s.features.join(', ')}], ${s.days}, ${s.event}, '${s.klass}')`,
		);
		await database.run(`INSERT INTO s VALUES ${rows.join(', ')}`);
		await database.run(copyToParquet(`SELECT ${select}`, at(name)));
	});
	return at(name);
}
const features = write('features.parquet', `${keys}, features AS embedding, ${split} FROM s`);
const survival = write('survival.parquet', `${keys}, event AS boolean_value, days::FLOAT AS float_value FROM s`);
const classes = write('classes.parquet', `${keys}, klass AS categorical_value FROM s`);

for (const kind of ['cox', 'hazard'] as const) {
	t.test(`${kind}: the time to an event on anybody's features`, async (t) => {
		const out = at(kind);
		const file = await probeSurvival({
			features: await features,
			labels: await survival,
			out,
			kind,
			horizonsDays: [300, 60],
			draws: 60,
		});
		const heldOut = samples.filter(({ subject }) => subject % 10 >= 8);
		t.match(file, {
			probe: { kind },
			samples: { train: 540, tuning: 180, held_out: 180 },
			patients: { held_out: 60 },
			events: { held_out: heldOut.filter(({ event }) => event).length },
			excluded: { unlabelled: 0, repeated: 0, withoutFeatures: 0, withoutSplit: 0 },
		});
		const { concordance, ipcwConcordance, integratedAuroc, aurocs } = file.metrics;
		t.same(
			aurocs.map(({ horizonDays }) => horizonDays),
			[60, 300],
		);
		for (const { value, low, high } of [concordance, ipcwConcordance, integratedAuroc, aurocs[0]!.auroc])
			t.ok(value! > 0.7 && low! < value! && value! < high!, `${low} ${value} ${high}`);
		t.equal(aurocs[0]!.nEvents, heldOut.filter(({ event, days }) => event && days <= 60).length);

		// The coefficients alone give the scores, and the baseline the risks.
		const { mean, scale, weight, clip } = file.probe;
		const rows = await parquetRows(`SELECT * FROM ${parquetFiles(join(out, 'predictions-held_out.parquet'))}`);
		t.equal(rows.length, 180);
		for (const [i, row] of rows.entries()) {
			const score = heldOut[i]!.features.reduce(
				(sum, x, j) => sum + weight[j]! * Math.max(-clip, Math.min(clip, (x - mean[j]!) * scale[j]!)),
				0,
			);
			t.ok(Math.abs(score - Number(row.risk_score)) < 1e-5);
			t.equal(row.boolean_value, heldOut[i]!.event);
			t.ok(Number(row.risk_60d) > 0 && Number(row.risk_60d) < Number(row.risk_300d) && Number(row.risk_300d) <= 1);
			if (file.probe.kind !== 'cox') continue;
			const risk = 1 - Math.exp(-file.probe.baseline[0]!.cumulativeHazard * Math.exp(score));
			t.ok(Math.abs(risk - Number(row.risk_60d)) < 1e-5);
		}
		// A risk is what is seen: within 60 days of all training samples, about as many as it says.
		const train = await parquetRows(
			`SELECT avg(risk_60d) AS said FROM ${parquetFiles(join(out, 'predictions-train.parquet'))}`,
		);
		const seen = samples.filter(({ subject, event, days }) => subject % 10 < 6 && event && days <= 60).length / 540;
		t.ok(Math.abs(Number(train[0]!.said) - seen) < 0.04, `${train[0]!.said} ${seen}`);
		t.notMatch(JSON.stringify(file), /NaN/);
	});
}

t.test('columns of other names, events as numbers; what is unknown is counted', async (t) => {
	const labels = await write(
		'named.parquet',
		`${keys}, CASE WHEN n % 100 = 7 THEN NULL ELSE event::INTEGER END AS died, ceil(days)::INTEGER AS "follow up" FROM s`,
	);
	const file = await probeSurvival({
		features: await features,
		labels,
		out: at('named'),
		time: 'follow up',
		event: 'died',
		draws: 40,
	});
	t.match(file, { excluded: { unlabelled: 9 }, featuresWithoutLabel: 9 });
	const rejects = (select: string, message: RegExp, options: object = {}) =>
		t.test(String(message), async (t) => {
			const path = await write('bad.parquet', select);
			const out = at('refused');
			await t.rejects(probeSurvival({ features: await features, labels: path, out, ...options }), {
				code: 'EHR_JEPA_DATA',
				message,
			});
			t.notOk(existsSync(out));
		});
	await rejects(`${keys}, event AS boolean_value, -days AS float_value FROM s`, /float_value.*must be at least 0/s);
	await rejects(
		`${keys}, event AS boolean_value, 'NaN'::FLOAT AS float_value FROM s`,
		/float_value.*must be finite.*row 0/s,
	);
	await rejects(`${keys}, 2 AS boolean_value, days AS float_value FROM s`, /boolean_value.*must be 0 or 1/s);
	await rejects(`${keys}, event AS boolean_value FROM s`, /float_value.*must be there/s);
	await rejects(`${keys}, event AS boolean_value, klass AS float_value FROM s`, /float_value.*must be a number/s);
	await rejects(`${keys}, false AS boolean_value, days AS float_value FROM s`, /no events in train \(540 samples\)/);
	await rejects(`${keys}, true AS boolean_value, 5 AS float_value FROM s`, /no sample in train outlives/, {
		kind: 'hazard',
	});
	await rejects(
		`* FROM (SELECT ${keys}, event AS boolean_value, days AS float_value FROM s UNION ALL SELECT ${keys}, event, days + 1 FROM s)`,
		/must say one thing about a subject at a time/,
	);
});

t.test('no event in held-out is undefined, with its reason, and never NaN', async (t) => {
	const labels = await write(
		'none.parquet',
		`${keys}, event AND subject % 10 < 8 AS boolean_value, days AS float_value FROM s`,
	);
	const file = await probeSurvival({ features: await features, labels, out: at('none'), draws: 40 });
	t.equal(file.metrics.concordance.undefinedReason, 'no events in held-out');
	t.ok(file.metrics.aurocs.every(({ auroc }) => auroc.value === null && auroc.undefinedReason !== undefined));
});

t.test("multinomial: classes on anybody's features", async (t) => {
	const file = await probeClasses({ features: await features, labels: await classes, out: at('classes'), draws: 60 });
	t.match(file, {
		labelColumn: 'categorical_value',
		samples: { train: 540, tuning: 180, held_out: 180 },
		excluded: { unknownClass: 0 },
	});
	t.same(
		file.classes.map(({ name }) => name),
		['mild', 'moderate', 'severe'],
	);
	for (const { value, low, high } of [file.metrics.macroAuroc, file.metrics.accuracy, file.classes[0]!.auroc])
		t.ok(value! > 0.6 && low! < value! && value! < high!, `${low} ${value} ${high}`);
	const { classes: found, mean, scale, clip } = file.probe;
	const rows = await parquetRows(`SELECT * FROM ${parquetFiles(at('classes/predictions-held_out.parquet'))}`);
	const heldOut = samples.filter(({ subject }) => subject % 10 >= 8);
	let loss = 0;
	for (const [i, row] of rows.entries()) {
		const scores = found.map(
			({ intercept, weight }) =>
				intercept +
				heldOut[i]!.features.reduce(
					(sum, x, j) => sum + weight[j]! * Math.max(-clip, Math.min(clip, (x - mean[j]!) * scale[j]!)),
					0,
				),
		);
		const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
		const own = found.findIndex(({ name }) => name === heldOut[i]!.klass);
		t.ok(Math.abs(Math.exp(scores[own]!) / total - Number(row[`probability_${heldOut[i]!.klass}`])) < 1e-5);
		t.equal(row.label, heldOut[i]!.klass);
		loss -= Math.log(Math.exp(scores[own]!) / total) / rows.length;
	}
	t.ok(Math.abs(loss - file.metrics.logLoss.value!) < 1e-6, 'features are float32');
});

t.test('classes as whole numbers, a class that train lacks, and one class', async (t) => {
	const numbers = await write(
		'numbers.parquet',
		`${keys}, CASE WHEN subject % 10 >= 8 AND n % 9 = 0 THEN 77 ELSE length(klass) END::BIGINT AS integer_value FROM s`,
	);
	const file = await probeClasses({ features: await features, labels: numbers, out: at('numbers'), draws: 40 });
	t.same(
		file.classes.map(({ name }) => name),
		['4', '6', '8'],
	);
	const unknown = samples.filter(({ subject, n }) => subject % 10 >= 8 && n % 9 === 0).length;
	t.match(file, { excluded: { unknownClass: unknown }, samples: { held_out: 180 - unknown } });
	const rejected = async (select: string, message: RegExp) => {
		const path = await write('bad-classes.parquet', select);
		await t.rejects(probeClasses({ features: await features, labels: path, out: at('refused-classes') }), {
			code: 'EHR_JEPA_DATA',
			message,
		});
	};
	await rejected(`${keys}, 'x' AS categorical_value FROM s`, /two classes or more in train.*1 in 540 samples/s);
	await rejected(`${keys}, 'x' AS categorical_value, 1 AS integer_value FROM s`, /must be one of both.*both/s);
	await rejected(`${keys}, days AS categorical_value FROM s`, /must be a text or a whole number/);
	t.notOk(existsSync(at('refused-classes')));
});

t.test("ridge: numbers on anybody's features", async (t) => {
	// A large mean and a small spread, which float32 alone would round away.
	const numbers = await write(
		'measured.parquet',
		`${keys}, CASE WHEN n % 100 = 7 THEN NULL ELSE 1e7 + 0.5 * features[1] - 0.25 * features[2] END AS creatinine FROM s`,
	);
	const file = await probeNumbers({
		features: await features,
		labels: numbers,
		labelColumn: 'creatinine',
		out: at('ridge'),
		draws: 60,
	});
	t.match(file, {
		labelColumn: 'creatinine',
		samples: { train: 534, tuning: 177, held_out: 180 },
		excluded: { unlabelled: 9 },
		featuresWithoutLabel: 9,
	});
	const { r2, meanAbsoluteError, rootMeanSquaredError } = file.metrics;
	t.ok(r2.value! > 0.9999 && r2.low! <= r2.value! && r2.value! <= r2.high!, `${r2.value}`);
	t.ok(meanAbsoluteError.value! < rootMeanSquaredError.value! && rootMeanSquaredError.value! < 0.01);
	t.ok(Math.abs(file.mean.train! - 1e7) < 2 && Math.abs(file.deviation.train! - Math.hypot(0.5, 0.25)) < 0.1);
	const { weight, scale } = file.probe;
	for (const [i, slope] of [0.5, -0.25].entries())
		t.ok(Math.abs(weight[i]! * scale[i]! - slope) < 1e-3, `coefficient ${weight[i]! * scale[i]!}`);
	const rows = await parquetRows(`SELECT * FROM ${parquetFiles(at('ridge/predictions-held_out.parquet'))}`);
	t.equal(rows.length, 180);
	t.ok(rows.every((row) => Math.abs(Number(row.predicted_value) - Number(row.float_value)) <= 1));

	const rejected = async (select: string, message: RegExp) => {
		const labels = await write('bad-numbers.parquet', select);
		await t.rejects(probeNumbers({ features: await features, labels, out: at('refused-numbers') }), {
			code: 'EHR_JEPA_DATA',
			message,
		});
	};
	await rejected(`${keys}, 3 AS float_value FROM s`, /two numbers or more in train.*1 in 540 samples/);
	await rejected(`${keys}, days * 1e300 AS float_value FROM s`, /float_value must fit float32/);
	await rejected(`${keys}, 'inf'::FLOAT AS float_value FROM s`, /float_value must be finite/);
	await rejected(`${keys}, klass AS float_value FROM s`, /float_value must be a number/);
	t.notOk(existsSync(at('refused-numbers')));
	const constant = await write(
		'same.parquet',
		`${keys}, CASE WHEN subject % 10 < 8 THEN days ELSE 1 END AS float_value FROM s`,
	);
	const same = await probeNumbers({ features: await features, labels: constant, out: at('same'), draws: 40 });
	t.equal(same.metrics.r2.undefinedReason, 'constant target');
	t.notMatch(JSON.stringify(same), /NaN/);
});
