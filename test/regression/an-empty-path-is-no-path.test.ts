/** An empty argument is never the working directory: every command and every function with a path refuses it. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { main } from '../../lib/cli/main.js';
import {
	buildTasks,
	evaluate,
	openModel,
	openTokenStore,
	prepareStore,
	readIndexDates,
	simulateCohort,
	Trainer,
	WorldModel,
} from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const positionals: Record<string, number> = {
	simulate: 1,
	validate: 1,
	'import-omop': 2,
	prepare: 2,
	train: 2,
	tasks: 2,
	embed: 4,
	evaluate: 3,
	report: 2,
	score: 2,
	export: 2,
	info: 1,
};
const options: readonly (readonly string[])[] = [
	['demo', '--out', ''],
	['demo', '--meds', ''],
	['study', '--out', ''],
	['train', 'store', 'run', '--config', ''],
	['train', 'store', 'run', '--from', ''],
	['tasks', 'meds', 'out', '--labels', ''],
	['prepare', 'meds', 'out', '--tokenizer', ''],
	['evaluate', 'meds', 'tasks', 'out.json', '--model', ''],
	['evaluate', 'meds', 'tasks', 'out.json', '--model', 'm='],
	['report', 'evaluation.json', 'out.html', '--run', 'm='],
	['score', 'model', 'out', '--tokens', ''],
];

const folder = temporaryFolder(t);
const before = process.cwd();
t.before(() => process.chdir(folder));
t.teardown(() => process.chdir(before));

for (const [command, count] of Object.entries(positionals)) {
	t.test(`${command}: each of its arguments`, async (t) => {
		for (let empty = 0; empty < count; empty++) {
			const args = Array.from({ length: count }, (_, i) => (i === empty ? '' : `given-${i}`));
			t.equal(await main([command, ...args]), 2, `argument ${empty + 1}`);
		}
	});
}

for (const args of options) {
	t.test(args.join(' '), async (t) => {
		t.equal(await main(args), 2);
	});
}

t.test('functions', async (t) => {
	const calls: Record<string, () => Promise<unknown>> = {
		simulateCohort: () => simulateCohort('', { patients: 1, seed: 1 }),
		'prepareStore, in': () => prepareStore('', 'out'),
		'prepareStore, out': () => prepareStore('meds', ''),
		openTokenStore: () => openTokenStore(''),
		'buildTasks, in': () => buildTasks('', 'out'),
		'buildTasks, out': () => buildTasks('meds', ''),
		readIndexDates: () => readIndexDates(''),
		openModel: () => openModel(''),
		'Trainer.resume': () => Trainer.resume('', undefined as never),
		'WorldModel.fromPretrained': () => WorldModel.fromPretrained(''),
		evaluate: () => evaluate({ meds: '', tasks: 'tasks', models: [], out: 'out.json' }),
	};
	for (const [name, call] of Object.entries(calls))
		await t.rejects(call(), { code: 'EHR_JEPA_CONFIG', message: /must be a path/ }, name);
});

t.test('nothing was written', async (t) => {
	t.same(readdirSync(folder), []);
});
