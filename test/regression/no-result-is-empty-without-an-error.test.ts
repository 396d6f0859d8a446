import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../lib/data/query.js';
import { copyToParquet } from '../../lib/files/duckdb-files.js';
import { DataError, importOmop, prepareStore, readLabels } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';
import { tinyOmop, writeOmopParquet } from '../fixtures/tiny-omop.js';

t.test('a store of no tokens is refused, and nothing is written', async (t) => {
	const folder = temporaryFolder(t);
	const births = [1, 2].map((subject) => ({ subject, time: '1960-01-01 00:00:00', code: 'MEDS_BIRTH' }));
	const splits = { 1: 'train', 2: 'train', 3: 'held_out' };
	const meds = await writeTinyMeds(join(folder, 'births'), { '0.parquet': births }, splits);
	const store = join(folder, 'store');
	const options = { tokens: { kind: 'structured', minPatients: 1 } } as const;
	await t.rejects(
		prepareStore(meds, store, options),
		/must give at least one token of a subject in train .*0 tokens of 2/,
	);
	t.notOk(existsSync(store));
	const others = { '0.parquet': [...births, ...tinyPatient(3, [1, 2])] };
	const heldOut = await writeTinyMeds(join(folder, 'held-out'), others, splits);
	await t.rejects(prepareStore(heldOut, store, options), DataError, 'tokens of held-out subjects teach nothing');
	t.notOk(existsSync(store));
});

t.test('a table that loses all of its rows stops the import, however small it is', async (t) => {
	const folder = temporaryFolder(t);
	const tables = tinyOmop();
	const visits = Array.from({ length: 100 }, (_, i) => ({
		...tables.visit_occurrence![0]!,
		visit_occurrence_id: 100 + i,
	}));
	const foreign = tables.death!.map((row) => ({ ...row, person_id: 99 }));
	const cdm = await writeOmopParquet(join(folder, 'cdm'), { ...tables, visit_occurrence: visits, death: foreign });
	const meds = join(folder, 'meds');
	await t.rejects(
		importOmop(cdm, meds),
		/\[omop\] death: must not lose all of its rows .*death: \d unknown-person.*--max-dropped 1/,
	);
	t.notOk(existsSync(meds));
	const report = await importOmop(cdm, meds, { maxDropped: 1 });
	t.match(
		report.tables.find(({ table }) => table === 'death'),
		{ rowsOut: 0, dropped: { 'unknown-person': foreign.length } },
	);
});

t.test('a label folder without files or columns is told as such, not in words of the database', async (t) => {
	const folder = temporaryFolder(t);
	const empty = join(folder, 'empty');
	mkdirSync(empty);
	await t.rejects(readLabels(empty), /must hold label sets .*no parquet file/);
	await withDatabase({}, async (database) => {
		const columns = ['1::BIGINT AS subject_id', "TIMESTAMP '2020-01-01' AS prediction_time", 'true AS boolean_value'];
		for (const [i, missing] of ['subject_id', 'prediction_time', 'boolean_value'].entries()) {
			const labels = join(folder, missing);
			mkdirSync(labels);
			const kept = columns.filter((_, at) => at !== i).join(', ');
			await database.run(copyToParquet(`SELECT ${kept}`, join(labels, '0.parquet')));
			const error = await readLabels(labels).then(
				() => undefined,
				(cause: Error) => cause,
			);
			t.type(error, DataError);
			t.match(error?.message, missing);
			t.notMatch(error?.message, /Binder|IO Error|Referenced column/);
		}
	});
});
