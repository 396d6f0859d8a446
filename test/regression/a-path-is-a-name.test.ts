import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { readLatents } from '../../lib/evaluate/latent-state.js';
import { rolloutHorizons } from '../../lib/evaluate/rollout.js';
import {
	buildTasks,
	commonTasks,
	importOmop,
	openMeds,
	prepareStore,
	readEmbeddings,
	readIndexDates,
	readLabels,
	readRollout,
	simulateCohort,
	validateMeds,
	writeEmbeddings,
	writeRollout,
} from '../../lib/index.js';
import { folderHashes } from '../fixtures/meds-rows.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { writeTinyMeds } from '../fixtures/tiny-meds.js';
import { tinyOmop, writeOmopCsv, writeOmopParquet } from '../fixtures/tiny-omop.js';

t.setTimeout(600_000);

const lib = fileURLToPath(new URL('../../../lib', import.meta.url));

t.test('one file of lib/ names files to DuckDB', async (t) => {
	const named =
		/\b(read_(parquet|csv|csv_auto|json|json_auto|ndjson|text|blob)|parquet_(scan|metadata|schema|kv_metadata|file_metadata)|sniff_csv|glob)\s*\(|\bCOPY\b|\b(FROM|JOIN)\s+'|\bATTACH\b|\bEXPORT DATABASE\b/;
	const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
	const offenders = readdirSync(lib, { recursive: true })
		.map(String)
		.filter((name) => name.endsWith('.ts') && named.test(code(readFileSync(join(lib, name), 'utf8'))))
		// `'...' FROM '...'` of an import is no SQL.
		.filter((name) => name !== 'files/duckdb-files.ts');
	t.same(offenders, []);
	t.match(code(readFileSync(join(lib, 'files/duckdb-files.ts'), 'utf8')), named, 'the rule finds what it looks for');
});

/** Each with names that it must not be taken for, of folders that lie beside it. */
const names: Readonly<Record<string, readonly string[]>> = {
	'cohort[1]': ['cohort1'],
	'a*b/q?/[!a]/**': ['aXb/q1/b/deep', 'aXb/q?/b/deep'],
	// Signs that mean something to a shell, to SQL, or in an address.
	'it\'s/"quoted"/sp ace/ünï-日本/new\nline/back\\slash/-rf/~/$HOME/#1%20/{a,b}/s3:/https:/-- x;': [],
	// Columns of the tables that are read below them.
	[[
		'split=tuning/subject_id=7/code=X2/time=2020-01-01/numeric_value=1',
		'year=2024/prediction_time=2020-01-01/boolean_value=true/embedding=1/horizon_days=3/state=1',
		'id=x/kind=code/name=y/description=z/day=1/person_id=1/concept_id=2/shard=0/part=3/filename=x/file_row_number=3',
	].join('/')]: [],
};

/** The report of an import names the folder of the vocabulary. */
function hashes(folder: string): Record<string, string> {
	const { 'metadata/omop-import.json': _report, ...others } = folderHashes(folder);
	return others;
}

/** Everything that is read and written below a folder, as it says nothing of the folder's name. */
async function everything(folder: string, decoys: readonly string[], other: boolean) {
	mkdirSync(folder, { recursive: true });
	const seed = other ? 2 : 1;
	await simulateCohort(join(folder, 'cohort'), { patients: 6, seed, maxYears: 4, threads: 1 });
	const cdm = { ...tinyOmop() };
	const { concept, concept_relationship, ...tables } = cdm;
	writeOmopCsv(join(folder, 'csv'), other ? { person: tables.person!.slice(0, 1) } : tables);
	await writeOmopParquet(join(folder, 'vocabulary'), {
		concept: concept!,
		concept_relationship: concept_relationship!,
	});
	await writeOmopParquet(join(folder, 'parquet'), cdm, 2);
	for (const decoy of decoys) await everything(decoy, [], true);
	if (other) return undefined;
	const dataset = await openMeds(join(folder, 'cohort'));
	const validation = await validateMeds(join(folder, 'cohort'));
	const store = await prepareStore(join(folder, 'cohort'), join(folder, 'store'), { threads: 1 });
	await buildTasks(join(folder, 'cohort'), join(folder, 'tasks'), { tasks: [...commonTasks] });
	const indexDates = await readIndexDates(join(folder, 'tasks'));
	const labels = await readLabels(join(folder, 'tasks', 'death', '365d'));
	const latents = await readLatents(join(folder, 'cohort', 'latents'), indexDates);
	const table = { values: Float32Array.of(1, 2), rows: 1, columns: 2, samples: [indexDates[0]!] };
	await writeEmbeddings(join(folder, 'e.parquet'), table, {});
	const state = Float32Array.of(1, 2);
	const { subjectId, predictionTime } = indexDates[0]!;
	const ahead = rolloutHorizons.map((horizonDays) => ({ horizonDays, predicted: state, record: null }));
	const rollout = { columns: 2, samples: [{ sample: { subjectId, predictionTime }, now: state, ahead }] };
	await writeRollout(join(folder, 'r.parquet'), rollout, {});
	const csv = await importOmop(join(folder, 'csv'), join(folder, 'omop-csv'), {
		vocabulary: join(folder, 'vocabulary'),
	});
	await importOmop(join(folder, 'parquet'), join(folder, 'omop-parquet'));
	t.match(await readRollout(join(folder, 'r.parquet')), rollout);
	return {
		dataset: { subjects: dataset.subjects, events: dataset.events, fingerprint: dataset.fingerprint },
		validation,
		splits: store.splits,
		indexDates,
		labels,
		latents: latents.map(({ samples }) => samples.map(({ state }) => [...state])),
		embeddings: await readEmbeddings(join(folder, 'e.parquet')),
		omop: csv.tables,
		files: Object.fromEntries(
			['cohort', 'store/train', 'tasks', 'omop-csv', 'omop-parquet'].map((name) => [name, hashes(join(folder, name))]),
		),
	};
}

t.test('what is read and written is the same whatever the folder is called', async (t) => {
	const root = temporaryFolder(t);
	const plain = await everything(join(root, 'plain'), [], false);
	for (const [i, [name, siblings]] of Object.entries(names).entries()) {
		const parent = join(root, `parent ${i}`);
		mkdirSync(parent);
		const found = await everything(
			join(parent, name),
			siblings.map((sibling) => join(parent, sibling)),
			false,
		);
		t.same(found, plain, JSON.stringify(name));
	}
});

t.test('a file is named exactly too, and a relative path as well as an absolute one', async (t) => {
	const root = temporaryFolder(t);
	const sample = (subjectId: bigint) => ({ subjectId, predictionTime: 0n });
	for (const [name, subject] of [
		['f1.parquet', 1n],
		['f[1].parquet', 2n],
		['f*.parquet', 3n],
		['f?.parquet', 4n],
	] as const)
		await writeEmbeddings(
			join(root, name),
			{ values: Float32Array.of(0), rows: 1, columns: 1, samples: [sample(subject)] },
			{},
		);
	t.same((await readEmbeddings(join(root, 'f[1].parquet'))).samples, [sample(2n)]);
	t.same((await readEmbeddings(join(root, 'f*.parquet'))).samples, [sample(3n)]);
	t.same((await readEmbeddings(relative(process.cwd(), join(root, 'f?.parquet')))).samples, [sample(4n)]);
	await t.rejects(
		readEmbeddings(join(root, 'f[2].parquet')),
		{ code: 'EHR_JEPA_DATA' },
		'none of the others stands in',
	);
});

t.test('a backslash beside a sign of patterns is refused, since DuckDB has no name for such a file', async (t) => {
	const meds = join(temporaryFolder(t), 'a\\b[1]');
	mkdirSync(dirname(meds), { recursive: true });
	await writeTinyMeds(meds, { '0.parquet': [{ subject: 1, time: null, code: 'A' }] });
	await t.rejects(openMeds(meds), { message: /must not have both a backslash and one of \[ \* \? .*rename/ });
});
