/** Every reader of parquet, given each file that is none or another: one of our errors, in words, that names the file. */
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../lib/data/query.js';
import { readLatents } from '../../lib/evaluate/latent-state.js';
import { rolloutHorizons } from '../../lib/evaluate/rollout.js';
import { copyToParquet } from '../../lib/files/duckdb-files.js';
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
} from '../../lib/index.js';
import { soundMeds, writeMeds } from '../fixtures/meds-folder.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyOmop, writeOmopParquet } from '../fixtures/tiny-omop.js';
import { tinyTokenizerJson, writeTokenizer } from '../fixtures/tiny-tokenizer.js';

t.setTimeout(300_000);
const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);

/** Ways to spoil a sound file; each gets its bytes. */
const bytesOf: Readonly<Record<string, (sound: Buffer) => Buffer>> = {
	'an empty file': () => Buffer.alloc(0),
	'a text': () => Buffer.from('subject_id,time,code\n1,2020-01-01,A\n'.repeat(20)),
	'a file without its end': (sound) => sound.subarray(0, sound.length - 9),
	'a length beyond the file': (sound) =>
		Buffer.concat([sound.subarray(0, -8), Buffer.from([255, 255, 255, 0]), Buffer.from('PAR1')]),
	'a damaged footer': (sound) => Buffer.from(sound).fill(0x77, sound.length - 90, sound.length - 40),
	'damaged pages': (sound) => Buffer.from(sound).fill(0x77, 6, Math.min(120, sound.length - 100)),
	'an encrypted file': (sound) => Buffer.concat([sound.subarray(0, -4), Buffer.from('PARE')]),
};
/** Other tables than the one that is asked for, made of the names of its columns. */
const tablesOf: Readonly<Record<string, (columns: readonly string[]) => string>> = {
	'another table': () => 'SELECT 1 AS x, 2 AS y',
	'no rows': (columns) => `SELECT ${columns.map((name) => `'x' AS "${name}"`).join(', ')} WHERE false`,
	'texts everywhere': (columns) => `SELECT ${columns.map((name) => `'x' AS "${name}"`).join(', ')}`,
	'structs everywhere': (columns) => `SELECT ${columns.map((name) => `{a: 1, b: [2]} AS "${name}"`).join(', ')}`,
	'bytes everywhere': (columns) => `SELECT ${columns.map((name) => `'\\xff'::BLOB AS "${name}"`).join(', ')}`,
	'large numbers everywhere': (columns) => `SELECT ${columns.map((name) => `1e300 AS "${name}"`).join(', ')}`,
	'nulls everywhere': (columns) => `SELECT ${columns.map((name) => `NULL::BIGINT AS "${name}"`).join(', ')}`,
	'columns that capitals tell apart': (columns) =>
		`SELECT ${columns.map((name) => `1 AS "${name}", 1 AS "${name.toUpperCase()}"`).join(', ')}`,
	'a thousand columns': () => `SELECT ${Array.from({ length: 1000 }, (_, i) => `${i} AS c${i}`).join(', ')}`,
	'a column called file_row_number': (columns) =>
		`SELECT ${[...columns, 'file_row_number'].map((name) => `1 AS "${name}"`).join(', ')}`,
};

interface Reader {
	/** The file that is spoiled. */
	readonly file: string;
	readonly read: () => Promise<unknown>;
}

async function readers(): Promise<Record<string, Reader>> {
	await writeMeds(at('meds'), soundMeds());
	await simulateCohort(at('cohort'), { patients: 20, threads: 1 });
	await buildTasks(at('cohort'), at('tasks'), { tasks: [...commonTasks] });
	const tokenizer = writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() });
	const sample = "1::BIGINT AS subject_id, TIMESTAMP '2020-01-01' AS prediction_time";
	const list = (...names: string[]) => names.map((name) => `[1::FLOAT] AS ${name}`).join(', ');
	await withDatabase({ threads: 1 }, async (database) => {
		mkdirSync(at('labels/one'), { recursive: true });
		await database.run(copyToParquet(`SELECT ${sample}, true AS boolean_value`, at('labels/one/0.parquet')));
		await database.run(copyToParquet(`SELECT ${sample}, ${list('embedding')}`, at('states.parquet')));
		const states = list('state', 'record_state', 'record_prediction');
		const horizons = `SELECT unnest([0, ${rolloutHorizons.join(', ')}]) AS horizon_days`;
		await database.run(
			copyToParquet(`SELECT ${sample}, horizon_days, ${states} FROM (${horizons})`, at('rollout.parquet')),
		);
	});
	const cdm = await writeOmopParquet(at('cdm'), tinyOmop());
	let outputs = 0;
	const out = () => at(`out-${outputs++}`);
	const dates = [{ subjectId: 1n, predictionTime: 0n, split: 'train' as const }];
	const omop = (table: string): Reader => ({
		file: join(cdm, `${table}.parquet`),
		read: () => importOmop(cdm, out(), { threads: 1, maxDropped: 1, maxUnknownConcepts: 1 }),
	});
	const inMeds = (file: string, read: (meds: string) => Promise<unknown>): Reader => ({
		file: at(`meds/${file}`),
		read: () => read(at('meds')),
	});
	const text = { kind: 'text', tokenizer } as const;
	return {
		events: inMeds('data/train/0.parquet', openMeds),
		'events of a store': inMeds('data/train/0.parquet', (meds) => prepareStore(meds, out(), { threads: 1 })),
		validation: inMeds('data/train/0.parquet', validateMeds),
		splits: inMeds('metadata/subject_splits.parquet', openMeds),
		codes: inMeds('metadata/codes.parquet', (meds) => prepareStore(meds, out(), { tokens: text, threads: 1 })),
		'ready labels': {
			file: at('labels/one/0.parquet'),
			read: () => buildTasks(at('meds'), out(), { tasks: [...commonTasks], externalLabels: at('labels') }),
		},
		labels: { file: at('labels/one/0.parquet'), read: () => readLabels(at('labels/one')) },
		'index dates': { file: at('tasks/index_dates.parquet'), read: () => readIndexDates(at('tasks')) },
		states: { file: at('states.parquet'), read: () => readEmbeddings(at('states.parquet')) },
		rollouts: { file: at('rollout.parquet'), read: () => readRollout(at('rollout.parquet')) },
		latents: { file: at('cohort/latents/0.parquet'), read: () => readLatents(at('cohort/latents'), dates) },
		...Object.fromEntries(['person', 'concept', 'measurement'].map((table) => [`OMOP ${table}`, omop(table)])),
	};
}

const raw =
	/(Binder|IO|Invalid Input|Catalog|Conversion|Parser|Not implemented|Serialization|Out of Range|Invalid) (Error|Exception)|INTERNAL|TProtocol|LINE 1|SELECT|\[object|undefined|\[query\]|unexpected/i;

t.test('every reader, every file', async (t) => {
	for (const [name, { file, read }] of Object.entries(await readers())) {
		const sound = readFileSync(file);
		const columns = await withDatabase({}, (database) =>
			database.rows(`DESCRIBE SELECT * FROM read_parquet('${file}')`),
		);
		const names = columns.map(({ column_name }) => String(column_name));
		const restore = () => {
			rmSync(file, { recursive: true, force: true });
			writeFileSync(file, sound);
		};
		let refused = 0;
		const spoiled = async (way: string, spoil: () => unknown) => {
			rmSync(file, { recursive: true, force: true });
			await spoil();
			const said = await read().then(
				(result) => JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? String(value) : value)) ?? '',
				(error: Error) => {
					refused++;
					t.match(error, { code: /^EHR_JEPA_/ }, `${name}, ${way}: one of our errors: ${error.message.slice(0, 200)}`);
					const places = [basename(file), dirname(file), basename(file, '.parquet').toUpperCase()];
					t.ok(
						way === 'a folder' || places.some((place) => error.message.includes(place)),
						`${name}, ${way}: names the file: ${error.message.slice(0, 200)}`,
					);
					return error.message;
				},
			);
			t.notMatch(said, raw, `${name}, ${way}: in our words: ${said.slice(0, 200)}`);
			restore();
		};
		for (const [way, bytes] of Object.entries(bytesOf))
			await spoiled(way, () => writeFileSync(file, Uint8Array.from(bytes(sound))));
		for (const [way, select] of Object.entries(tablesOf))
			await spoiled(way, () =>
				withDatabase({ threads: 1 }, (database) => database.run(copyToParquet(select(names), file))),
			);
		// Other writers put shards into a folder called so; one that holds none is passed over.
		await spoiled('a folder', () => mkdirSync(file));
		await spoiled('a link to nowhere', () => symlinkSync(at('nowhere.parquet'), file));
		await spoiled('a link to itself', () => symlinkSync(file, file));
		const whole = at(`copy of ${name}.parquet`);
		renameSync(file, whole);
		t.ok(refused > 3 || name.startsWith('validation'), `${name}: most are refused`);
		symlinkSync(whole, file);
		await t.resolves(read(), `${name}: a link to a sound file is read`);
		restore();
	}
});
