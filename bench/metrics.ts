/**
 * How long do all metrics of 10 million predictions take, read from a parquet file and with 1,000 patient-level resamples?
 * `npm run bench -- metrics [--rows N] [--draws N] [--patients N ...] [--json FILE]`. AUROC and Brier score are checked against
 * SQL on the same file; each row has a process of its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { withDatabase } from '../lib/data/query.js';
import { copyToParquet, parquetFiles } from '../lib/files/duckdb-files.js';
import type { Asked, Measured } from './metrics/stage.js';
import { inOwnProcess } from './stages/own-process.js';

/** Wall seconds that are asked of 10 million predictions with 1,000 resamples on two cores. */
const limit = { rows: 1e7, draws: 1000, wallSeconds: 60 } as const;

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- metrics')
	.option('rows', { type: 'number', default: limit.rows, describe: 'Predictions' })
	.option('draws', { type: 'number', default: limit.draws, describe: 'Resamples' })
	.option('patients', {
		type: 'number',
		array: true,
		default: [100_000, 1_000_000],
		describe: 'Patients whose predictions they are, once per row of the result',
	})
	.option('json', { type: 'string', describe: 'File for the rows' })
	.strict()
	.parseAsync();

/** Writes predictions whose outcomes follow them, of risks that are mostly low. */
async function write(path: string, rows: number, patients: number): Promise<void> {
	await withDatabase({}, async (database) => {
		const uniform = (salt: number) => `(hash(i * 2 + ${salt}) / 18446744073709551616.0)`;
		await database.run(
			copyToParquet(
				`SELECT (i % ${patients})::BIGINT AS subject_id, make_timestamp(1577836800000000 + (i // ${patients}) * 86400000000) AS prediction_time,
					${uniform(1)} < risk AS boolean_value, risk > 0.5 AS predicted_boolean_value, risk AS predicted_boolean_probability
				FROM (SELECT i, (${uniform(0)} ** 3)::FLOAT AS risk FROM range(${rows}) AS r(i))`,
				path,
			),
		);
	});
}

/** Another way to the same numbers: ranks with ties, in SQL. */
async function expected(path: string): Promise<{ readonly auroc: number; readonly brier: number }> {
	return withDatabase({}, async (database) => {
		const [found] = await database.rows(
			`WITH levels AS (
				SELECT predicted_boolean_probability AS p, (count(*) FILTER (boolean_value))::DOUBLE AS yes,
					(count(*) FILTER (NOT boolean_value))::DOUBLE AS no FROM ${parquetFiles(path)} GROUP BY p),
			below AS (SELECT *, coalesce(sum(no) OVER (ORDER BY p ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS lower FROM levels)
			SELECT sum(yes * (lower + no / 2)) / (sum(yes) * sum(no)) AS auroc,
				(SELECT avg((predicted_boolean_probability::DOUBLE - boolean_value::INTEGER) ** 2) FROM ${parquetFiles(path)}) AS brier
			FROM below`,
		);
		return { auroc: Number(found?.auroc), brier: Number(found?.brier) };
	});
}

function requireSame(name: string, found: number | null, value: number): void {
	if (found !== null && Math.abs(found - value) < 1e-9) return;
	throw new Error(`[bench] ${name} must be ${value} but is ${found}`);
}

const work = mkdtempSync(join(tmpdir(), 'ehr-jepa-bench-'));
const rows: (Measured & { readonly met: boolean | null })[] = [];
console.log(`${cpus()[0]?.model}, ${cpus().length} cores, node ${process.version}; ${options.draws} resamples`);
try {
	for (const patients of options.patients) {
		const path = join(work, `${patients}.parquet`);
		await write(path, options.rows, patients);
		const asked: Asked = { path, draws: options.draws };
		const script = new URL('./metrics/stage.js', import.meta.url);
		const measured = await inOwnProcess<Measured>(script, `${patients} patients`, asked);
		const { auroc, brier } = await expected(path);
		requireSame('AUROC', measured.auroc.value, auroc);
		requireSame('Brier score', measured.brier, brier);
		rmSync(path);
		const isAsked = options.rows >= limit.rows && options.draws >= limit.draws;
		const row = { ...measured, met: isAsked ? measured.wallSeconds <= limit.wallSeconds : null };
		rows.push(row);
		const verdict = row.met === null ? '' : `  below ${limit.wallSeconds} s: ${row.met ? 'met' : 'NOT met'}`;
		const { low, high } = row.auroc;
		console.log(
			`${row.samples} predictions of ${row.patients} patients: ${row.wallSeconds.toFixed(1)} s wall, ${row.cpuSeconds.toFixed(1)} s CPU, peak ${row.peakMiB} MiB; AUROC ${auroc.toFixed(6)} [${low?.toFixed(6)}, ${high?.toFixed(6)}]${verdict}`,
		);
	}
	if (options.json !== undefined) {
		const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
		writeFileSync(options.json, `${JSON.stringify({ machine, draws: options.draws, rows }, undefined, '\t')}\n`);
	}
} finally {
	rmSync(work, { recursive: true, force: true });
}
