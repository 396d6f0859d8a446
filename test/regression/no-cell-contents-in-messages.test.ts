/** Promise: no error, warning, progress line, report or output of a command holds what is in a cell of patient data. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { Database } from '../../lib/data/query.js';
import { readLatents } from '../../lib/evaluate/latent-state.js';
import { copyToParquet } from '../../lib/files/duckdb-files.js';
import {
	importOmop,
	type LongOperation,
	openMeds,
	prepareStore,
	readEmbeddings,
	readIndexDates,
	readLabels,
	readRollout,
	validateMeds,
} from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type OmopRows, tinyOmop, writeOmopCsv } from '../fixtures/tiny-omop.js';

const bin = fileURLToPath(new URL('../../../scripts/ehr-jepa.mjs', import.meta.url));
const folder = temporaryFolder(t);
// Not a word of ours; found in any case, since names of columns are lowered.
const marker = 'POISONMARK';
const clean = (t: Test, said: string, name: string) => {
	const line = said.split('\n').find((text) => text.toUpperCase().includes(marker));
	t.equal(line?.slice(0, 300), undefined, name);
};

/** Runs a reader; what it says, returns or throws holds no marker. @returns Whether it threw. */
async function reads(t: Test, name: string, work: (operation: LongOperation) => Promise<unknown>): Promise<boolean> {
	const said: string[] = [];
	let threw = false;
	try {
		const result = await work({
			onWarning: (text) => said.push(text),
			onProgress: (progress) => said.push(JSON.stringify(progress)),
		});
		said.push(inspect(result, { depth: 8 }));
	} catch (error) {
		threw = true;
		t.match(error, { code: /^EHR_JEPA_/ }, `${name}: one of our errors`);
		said.push(inspect(error, { depth: 9 }), String((error as Error).stack));
	}
	t.ok(said.length > 0);
	clean(t, said.join('\n'), name);
	return threw;
}

const database = await Database.open({ threads: 1 });
t.teardown(() => database.close());

async function parquet(name: string, select: string): Promise<string> {
	const path = join(folder, name);
	mkdirSync(dirname(path), { recursive: true });
	await database.run(copyToParquet(select, path, ['COMPRESSION uncompressed']));
	return path;
}

const conditions = 'person_id,condition_concept_id,condition_start_date';
const notes = 'note_id,person_id,note_date,note_class_concept_id,note_text';
/** Tables that say the marker where it should not be, or where it should. */
const poisoned: readonly (readonly [table: string, text: string | Buffer])[] = [
	['DEATH', `person_id,death_date\n1,2020-01-01,${marker}\n`],
	['DEATH', `person_id,death_date\n${marker},${marker}\n`],
	['DEATH', `person_id,death_date,note\n1,2020-01-01,"${marker}\n`],
	['DEATH', `${marker},${marker}\n1,2020-01-01\n`],
	['DEATH', `${marker},${marker} is HIV positive\n1,2020-01-01\n`],
	['DEATH', `person_id,death_date,${marker} is HIV positive\n1,2020-01-01,x\n`],
	['NOTE', `${notes}\n1,1,2020-01-01,101,"x" ${marker}\n`],
	['NOTE', `${notes}\n1,1,2020-01-01,101,${marker}\n`],
	['PERSON', `person_id,year_of_birth,gender_concept_id\n${marker},${marker},8507\n`],
	['CONDITION_OCCURRENCE', Buffer.from(`${conditions}\n1,101,2020-01-01${marker}\u00e9\n`, 'latin1')],
	['CONDITION_OCCURRENCE', `${conditions}\n1,${marker},${marker}\n`],
	['CONCEPT', `concept_id,vocabulary_id,concept_code\n${marker},a,b\n`],
	['CDM_SOURCE', `cdm_version\n6.0 ${marker}\n`],
	['MEASUREMENT', `${marker} is HIV positive,x\n1,2\n`],
	[
		'MEASUREMENT',
		`person_id,measurement_concept_id,measurement_date,value_as_number,unit_source_value,value_source_value\n1,200,2020-01-02,${marker},${marker},${marker}\n`,
	],
];

t.test('tables of an OMOP CDM, and what is written about them', async (t) => {
	const { person, concept } = tinyOmop() as { person: OmopRows; concept: OmopRows };
	let refused = 0;
	for (const [i, [table, text]] of poisoned.entries()) {
		const cdm = writeOmopCsv(join(folder, `cdm-${i}`), { person, concept });
		writeFileSync(join(cdm, `${table}.csv`), text);
		const out = join(folder, `imported-${i}`);
		const name = `${table}, case ${i}`;
		if (await reads(t, name, (operation) => importOmop(cdm, out, { notes: true, threads: 1 }, operation))) refused++;
		else clean(t, readFileSync(join(out, 'metadata/omop-import.json'), 'utf8'), `${name}: omop-import.json`);
	}
	t.ok(refused > 5 && refused < poisoned.length, 'some are refused and some are read');
});

t.test('events', async (t) => {
	const sound = await parquet(
		'sound/data/0.parquet',
		`SELECT 1::BIGINT AS subject_id, NULL::TIMESTAMP AS time, 'A' AS code, 1::FLOAT AS numeric_value, '${marker} text' AS text_value`,
	);
	const bytes = readFileSync(sound);
	for (let at = bytes.indexOf(`${marker} text`); at >= 0; at = bytes.indexOf(`${marker} text`, at + 1))
		bytes[at + marker.length] = 0xff;
	mkdirSync(join(folder, 'broken/data'), { recursive: true });
	writeFileSync(join(folder, 'broken/data/0.parquet'), bytes);
	await parquet('typed/data/0.parquet', `SELECT '${marker}' AS subject_id, '${marker}' AS time, '${marker}' AS code`);
	for (const name of ['sound', 'broken', 'typed']) {
		const meds = join(folder, name);
		await reads(t, `openMeds ${name}`, (operation) => openMeds(meds, operation));
		await reads(t, `validateMeds ${name}`, () => validateMeds(meds));
	}
	const broken = join(folder, 'broken');
	await reads(t, 'prepareStore', (operation) => prepareStore(broken, `${broken}-store`, {}, operation));
});

t.test('labels, index dates, states', async (t) => {
	const sample = "1::BIGINT AS subject_id, TIMESTAMP '2020-01-01' AS prediction_time";
	const words = `'${marker}' AS subject_id, '${marker}' AS prediction_time`;
	const date = [{ subjectId: 1n, predictionTime: 0n, split: 'train' as const }];
	const refused = async (path: string, select: string, read: (path: string) => Promise<unknown>) =>
		t.ok(await reads(t, path, async () => read(await parquet(path, select))), `${path} is refused`);
	const labels = (path: string) => readLabels(dirname(path));
	await refused('labels-1/0.parquet', `SELECT ${sample}, '${marker}' AS boolean_value`, labels);
	await refused('labels-2/0.parquet', `SELECT ${words}, true AS boolean_value`, labels);
	const dates = (path: string) => readIndexDates(dirname(path));
	await refused('tasks-1/index_dates.parquet', `SELECT ${sample}, '${marker}' AS split`, dates);
	await refused('tasks-2/index_dates.parquet', `SELECT ${words}, 'train' AS split`, dates);
	await refused('states-1.parquet', `SELECT ${sample}, ['${marker}'] AS embedding`, readEmbeddings);
	await refused('states-2.parquet', `SELECT ${words}, '${marker}' AS embedding`, readEmbeddings);
	await refused('rollout-1.parquet', `SELECT ${sample}, '${marker}' AS state`, readRollout);
	const lists = '[1::FLOAT] AS state, [1::FLOAT] AS record_state, [1::FLOAT] AS record_prediction';
	await refused('rollout-2.parquet', `SELECT ${sample}, '${marker}' AS horizon_days, ${lists}`, readRollout);
	const latents = (path: string) => readLatents(dirname(path), date);
	await refused('latents-1/0.parquet', `SELECT 1::BIGINT AS subject_id, '${marker}' AS day, 1::FLOAT AS axis`, latents);
});

t.test('what the commands print', (t) => {
	const run = (...args: string[]) => {
		const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: 'utf8' });
		t.ok(stdout.length + stderr.length > 0, `${args[0]} says something`);
		clean(t, `${stdout}\n${stderr}`, `${args.join(' ')}`);
		return status;
	};
	t.not(run('import-omop', 'cdm-0', 'printed-0'), 0);
	t.not(run('validate', 'typed', '--json'), 0);
	t.end();
});
