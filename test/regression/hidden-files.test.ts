import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { readLatents } from '../../lib/evaluate/latent-state.js';
import { readSamples } from '../../lib/evaluate/samples.js';
import {
	buildTasks,
	commonTasks,
	evaluate,
	importOmop,
	openMeds,
	prepareStore,
	readLabels,
	simulateCohort,
	validateMeds,
	writeEmbeddings,
} from '../../lib/index.js';
import { readTasks } from '../../lib/tasks/read.js';
import { soundMeds, writeMeds } from '../fixtures/meds-folder.js';
import { folderHashes, medsRows } from '../fixtures/meds-rows.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyOmop, writeOmopParquet } from '../fixtures/tiny-omop.js';

const litter = [
	'.ipynb_checkpoints/0-checkpoint.parquet',
	'.hidden/0.parquet',
	'_temporary/0/0.parquet',
	'._0.parquet',
	'.0.parquet',
	'_metadata.parquet',
];

/** Puts copies of a file, and files that are none, under hidden names beside it. */
function litterBeside(file: string): void {
	for (const [i, name] of litter.entries()) {
		const path = join(dirname(file), name);
		mkdirSync(dirname(path), { recursive: true });
		if (i % 2 === 0) cpSync(file, path);
		else writeFileSync(path, 'Mac OS X        \u0000\u0005\u0016\u0007');
	}
}

t.test('hidden files of a MEDS folder are not read, and it is said', async (t) => {
	const meds = await writeMeds(temporaryFolder(t), soundMeds());
	const clean = await openMeds(meds);
	litterBeside(join(meds, 'data/train/0.parquet'));
	mkdirSync(join(meds, 'data/.Trash'));
	cpSync(join(meds, 'data/held_out/0.parquet'), join(meds, 'data/.Trash/0.parquet'));
	const dataset = await openMeds(meds);
	t.match(dataset, { events: clean.events, subjects: clean.subjects, fingerprint: clean.fingerprint });
	t.match(dataset.notes, [/^7 hidden files are not read .*first data\/\.Trash\/0\.parquet/]);
	const report = await validateMeds(meds);
	t.match(report, { valid: true, files: 3, events: clean.events });
	t.match(
		report.findings.find(({ name }) => name === 'hidden-file'),
		{ count: 7, severity: 'warning', first: { file: 'data/.Trash/0.parquet' } },
	);
	const store = await prepareStore(meds, join(temporaryFolder(t), 'store'), {
		tokens: { kind: 'structured', minPatients: 1 },
	});
	t.match(store.notes.join('\n'), /7 hidden files are not read/);
	t.equal(store.coverage.events, clean.events);
});

t.test('a data set in a folder that is itself hidden is read', async (t) => {
	const meds = await writeMeds(join(temporaryFolder(t), '.cache/_cohort'), soundMeds());
	t.equal((await openMeds(meds)).events, 20);
});

t.test('hidden labels and latent states are not read', async (t) => {
	const folder = temporaryFolder(t);
	const cohort = join(folder, 'cohort');
	await simulateCohort(cohort, { patients: 20, threads: 1 });
	await buildTasks(cohort, join(folder, 'tasks'), { tasks: [...commonTasks] });
	const labels = await readLabels(join(folder, 'tasks/death/365d'));
	t.ok(labels.length > 0);
	litterBeside(join(folder, 'tasks/death/365d/0.parquet'));
	const hidden: string[] = [];
	t.same(await readLabels(join(folder, 'tasks/death/365d'), hidden), labels);
	t.equal(hidden.length, litter.length);
	const indexDates = labels.map((label) => ({ ...label, split: 'train' as const }));
	const latents = await readLatents(join(cohort, 'latents'), indexDates);
	litterBeside(join(cohort, 'latents/0.parquet'));
	t.same(await readLatents(join(cohort, 'latents'), indexDates, hidden), latents);
	t.equal(hidden.length, 2 * litter.length);
	const warnings: string[] = [];
	await readSamples(join(folder, 'tasks'), join(cohort, 'latents'), (text) => warnings.push(text));
	t.match(warnings, [new RegExp(`^${2 * litter.length} hidden files are not read`)], 'said once');
});

t.test('evaluate and tasks say it again, of the data, the labels and the true states', async (t) => {
	const folder = temporaryFolder(t);
	const [cohort, tasks] = [join(folder, 'cohort'), join(folder, 'tasks')];
	await simulateCohort(cohort, { patients: 20, threads: 1 });
	await buildTasks(cohort, tasks, { tasks: [...commonTasks] });
	const { indexDates } = await readTasks(tasks);
	const states = join(folder, 'states.parquet');
	const values = Float32Array.from({ length: indexDates.length }, (_, i) => i);
	await writeEmbeddings(states, { values, rows: indexDates.length, columns: 1, samples: indexDates }, {});
	const model = { name: 'm', label: 'm', kind: 'encoder', description: 'm', embeddings: states } as const;
	litterBeside(join(cohort, 'data/train/0.parquet'));
	litterBeside(join(tasks, 'death/365d/0.parquet'));
	litterBeside(join(cohort, 'latents/0.parquet'));
	const warnings: string[] = [];
	const onWarning = (text: string) => warnings.push(text);
	await evaluate({ meds: cohort, tasks, models: [model], out: join(folder, 'e.json'), draws: 40 }, { onWarning });
	const hidden = warnings.filter((text) => text.includes('not read'));
	t.match(hidden, [/^.*cohort: 6 hidden files are not read .* first data\//, /^12 hidden files are not read/]);
	warnings.length = 0;
	await prepareStore(cohort, join(folder, 'store'), {}, { onWarning });
	t.match(warnings, [/^6 hidden files are not read .* first .*latents/]);
	const list = await buildTasks(cohort, join(folder, 'again'), { tasks: [...commonTasks] });
	t.match(list.notes.join('\n'), /6 hidden files are not read/, 'which the command prints');
});

t.test('hidden files of an OMOP CDM are not read, and it is said', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = await writeOmopParquet(join(folder, 'cdm'), tinyOmop(), 2);
	await importOmop(cdm, join(folder, 'clean'));
	for (const table of ['measurement', 'concept', 'person']) litterBeside(join(cdm, table, 'part-0.parquet'));
	cpSync(join(cdm, 'death/part-0.parquet'), join(cdm, '._death.parquet'));
	cpSync(join(cdm, 'death'), join(cdm, '.death'), { recursive: true });
	const warnings: string[] = [];
	await importOmop(cdm, join(folder, 'littered'), {}, { onWarning: (text) => warnings.push(text) });
	t.match(warnings.join('\n'), /hidden files are not read/);
	t.same(await medsRows(join(folder, 'littered')), await medsRows(join(folder, 'clean')));
	const [clean, littered] = ['clean', 'littered'].map((name) => folderHashes(join(folder, name, 'data')));
	t.same(littered, clean);
});
