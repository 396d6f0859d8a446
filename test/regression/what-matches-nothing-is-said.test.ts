import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { buildTasks, DataError, type TaskDefinition } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type TinyEvent, writeTinyMeds } from '../fixtures/tiny-meds.js';

const events: TinyEvent[] = [1, 2].flatMap((subject) =>
	['01-01', '01-05', '01-10', '03-15'].map((day) => ({ subject, time: `2020-${day} 10:00:00`, code: 'VISIT//OUT' })),
);
const visit: TaskDefinition = {
	name: 'visit',
	label: 'Visit',
	kind: 'event',
	codes: { exact: [], prefix: ['VISIT//'] },
	horizonsDays: [30],
};

async function build(t: Parameters<typeof temporaryFolder>[0], options: Partial<Parameters<typeof buildTasks>[2]>) {
	const folder = temporaryFolder(t);
	const meds = await writeTinyMeds(join(folder, 'meds'), { '0.parquet': events }, { 1: 'train', 2: 'held_out' });
	const out = join(folder, 'tasks');
	const warnings: string[] = [];
	const list = buildTasks(
		meds,
		out,
		{ tasks: [visit], minHistoryDays: 2, ...options },
		{ onWarning: (warning) => warnings.push(warning) },
	);
	return { list, out, warnings };
}

t.test('a code to hide that no event has shuts no leak, and is named', async (t) => {
	const { list, warnings } = await build(t, {
		hideCodes: { exact: ['VISIT//OUT', 'VISIT'], prefix: ['VISIT//', 'DISCHARGE//'] },
	});
	t.same((await list).hiddenCodes, ['VISIT//OUT']);
	const said = warnings.filter((warning) => warning.includes('nothing is hidden'));
	t.equal(said.length, 2);
	t.match(said[0], /matches VISIT, so/);
	t.match(said[1], /matches DISCHARGE\/\/\*, so/);
});

t.test('times to events, conditions and drugs that no event has are warned of, as yes-or-no tasks are', async (t) => {
	const { list, warnings } = await build(t, {
		tasks: [
			{ ...visit, name: 'never', codes: { exact: ['NEVER'], prefix: [] } },
			{ ...visit, name: 'time', kind: 'time-to-event', codes: { exact: ['NEVER'], prefix: [] } },
			{ ...visit, name: 'progression', after: { exact: ['DISEASE'], prefix: [] } },
			{
				name: 'change',
				label: 'Change',
				kind: 'change',
				drugs: [
					{ exact: ['DRUG//A'], prefix: [] },
					{ exact: [], prefix: ['VISIT//'] },
				],
				horizonsDays: [30],
			},
		],
	});
	const { notes } = await list;
	for (const [task, what] of [
		['never', 'it'],
		['time', 'it'],
		['progression', 'after'],
		['change', 'a'],
	]) {
		const note = `task ${task}: no event of the data matches ${what}: the codes are those of another ETL?`;
		t.ok(notes.includes(note), note);
		t.ok(warnings.includes(note), note);
	}
});

t.test('no index date at all is an error that says why, and nothing is written', async (t) => {
	const { list, out } = await build(t, { indexRules: [{ kind: 'anchor', codes: { exact: ['DIABETES'] } }] });
	await t.rejects(list, DataError);
	await t.rejects(list, /at least one index date but found none; index rule anchor: no event of the data matches/);
	t.notOk(existsSync(out));
	const short = await build(t, { minHistoryDays: 9 });
	await t.rejects(short.list, /none; index rule random: no day is left/);
});

t.test('a horizon named twice is one, and one day is a day', async (t) => {
	const { list } = await build(t, {
		tasks: [{ ...visit, horizonsDays: [30, 30] }],
		perPatient: 1,
		bufferDays: 1,
		dropDaysBeforeDeath: 1,
	});
	const { tasks, rule } = await list;
	t.same(
		tasks.map(({ horizonDays }) => horizonDays),
		[30],
	);
	t.match(rule, /up to 1 day with events per patient.* more than 1 day before the day of death .*up to 1 day after it/);
});
