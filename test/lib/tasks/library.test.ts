import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readLabels } from '../../../lib/index.js';
import { parseAcesTask } from '../../../lib/tasks/aces/schema.js';
import { TaskDefinition } from '../../../lib/tasks/definitions.js';
import { libraryNames, libraryTasks } from '../../../lib/tasks/library.js';
import { tasksOfEvents } from '../../fixtures/tasks-of-events.js';
import type { TinyEvent } from '../../fixtures/tiny-meds.js';

/** Visits on 1 January, February and December 2020 and 2022; index dates are of each visit but the last. */
function record(subject: number, events: readonly (readonly [day: string, code: string])[]): TinyEvent[] {
	const visits = ['2020-01-01', '2020-02-01', '2020-12-01', '2022-12-01'].map((day) => [day, 'VISIT'] as const);
	return [...visits, ...events].map(([day, code]) => ({ subject, time: `${day} 08:00:00`, code }));
}

async function labelled(t: Test, task: TaskDefinition, events: readonly TinyEvent[]) {
	const { list, out, warnings } = await tasksOfEvents(t, events, {
		tasks: [{ ...task, horizonsDays: [180] }],
		indexRules: [{ kind: 'visit' }],
		minHistoryDays: 1,
	});
	const entry = list.tasks[0]!;
	const day = (time: bigint) => new Date(Number(time / 1000n)).toISOString().slice(0, 10);
	const labels = (await readLabels(join(out, entry.directory))).map(
		({ subjectId, predictionTime, value }) => `${subjectId} ${day(predictionTime)} ${value}`,
	);
	return { entry, labels, warnings };
}

t.test('every task of the library can be read, and has a name of its own', async (t) => {
	t.equal(libraryNames.length, new Set(libraryNames).size);
	const { tasks, acesTasks } = libraryTasks(libraryNames);
	t.equal(tasks.length + acesTasks.length, libraryNames.length);
	for (const task of tasks) t.same(TaskDefinition.parse(task), task, task.name);
	for (const { name, yaml } of acesTasks) await t.resolves(parseAcesTask(name, yaml), name);
	const inspect = ['mortality', 'readmission', 'pulmonary-hypertension', 'pulmonary-embolism'];
	t.ok(inspect.every((name) => libraryNames.includes(name)));
});

t.test('a treatment change: the first day of another drug, of patients who have had one', async (t) => {
	const [task] = libraryTasks(['diabetes-treatment-change']).tasks;
	const events = [
		// Metformin, then insulin half a year on; metformin again is no change.
		...record(1, [
			['2020-01-10', 'MEDICATION//START//MetFORMIN (Glucophage)'],
			['2020-03-01', 'MEDICATION//MetFORMIN (Glucophage)//Administered'],
			['2020-06-01', 'MEDICATION//START//Insulin'],
		]),
		// Two on one day are a combination.
		...record(2, [
			['2020-01-10', 'MEDICATION//START//METFORMIN'],
			['2020-01-10', 'MEDICATION//START//DAPAGLIFLOZIN'],
		]),
		// Never one of the set: not asked about.
		...record(3, [['2020-01-10', 'MEDICATION//START//Warfarin']]),
	];
	const { entry, labels } = await labelled(t, task!, events);
	t.same(labels, ['1 2020-02-01 true', '1 2020-12-01 false', '2 2020-02-01 false', '2 2020-12-01 false']);
	t.equal(entry.excluded.notAtRisk, 5, 'three dates of the third, one before the first drug of each other');
	t.equal(entry.matchingEvents, 1);
	t.match(entry.predicates, [
		{ name: 'metformin', events: 3 },
		{ name: 'glipizide', events: 0 },
	]);
	t.match(entry.definition, /in patients who have had one/);
});

t.test('a progression is asked about once the disease is there, and until it is known', async (t) => {
	const [task] = libraryTasks(['kidney-failure']).tasks;
	const events = [
		...record(1, [
			['2020-01-20', 'DIAGNOSIS//ICD//10//N183'],
			['2020-05-01', 'DIAGNOSIS//ICD//10//N186'],
		]),
		...record(2, [['2020-05-01', 'DIAGNOSIS//ICD//10//N186']]),
		...record(3, [['2020-01-20', 'ICD9CM/585.3']]),
	];
	const { entry, labels } = await labelled(t, task!, events);
	t.same(labels, ['1 2020-02-01 true', '3 2020-02-01 false', '3 2020-12-01 false']);
	t.match(entry.excluded, { notAtRisk: 4, prevalent: 2 });
	t.same(entry.predicates, [
		{ name: 'after', events: 4 },
		{ name: 'event', events: 2 },
	]);
	const none = await labelled(t, libraryTasks(['lupus']).tasks[0]!, events);
	t.equal(none.entry.matchingEvents, 0);
	t.ok(
		none.warnings.some((text) => /no event/i.test(text) && /lupus/i.test(text)),
		'zero matches are warned of',
	);
});

t.test('an onset has the same bounds in ICD-9 as in ICD-10', async (t) => {
	for (const [name, yes, no] of [
		// With complications, of type 2 and of type 1.
		['type-2-diabetes', 'DIAGNOSIS//ICD//9//25040', 'DIAGNOSIS//ICD//9//25041'],
		// An occlusion with infarction, and without.
		['stroke', 'ICD9CM/434.01', 'ICD9CM/434.00'],
		['stroke', 'DIAGNOSIS//ICD9CM//43331', 'DIAGNOSIS//ICD9CM//43330'],
		// Chronic bronchitis, obstructive and simple; asthma likewise.
		['copd', 'DIAGNOSIS//ICD//9//49121', 'DIAGNOSIS//ICD//9//4910'],
		['copd', 'DIAGNOSIS//ICD//9//49320', 'DIAGNOSIS//ICD//9//49300'],
		// Dialysis, and another state after a procedure.
		['kidney-failure', 'ICD9CM/V45.11', 'ICD9CM/V45.81'],
	] as const) {
		const kidneys = ['2019-12-01', 'ICD9CM/585.3'] as const;
		const events = [yes, no].flatMap((code, i) => record(i + 1, [kidneys, ['2020-03-01', code]]));
		const { labels } = await labelled(t, libraryTasks([name]).tasks[0]!, events);
		t.same(
			labels.filter((label) => label.includes('2020-01-01')),
			['1 2020-01-01 true', '2 2020-01-01 false'],
			`${name} ${yes}`,
		);
	}
});

t.test('a definition that breaks a rule is refused', async (t) => {
	const [change] = libraryTasks(['anticoagulant-change']).tasks;
	for (const broken of [
		{ ...change, drugs: [{ exact: ['A'], prefix: [] }] },
		{ ...change, codes: { exact: ['A'], prefix: [] } },
		{ name: 'x', label: 'x', kind: 'incident' },
		{ name: 'x', label: 'x', kind: 'event', codes: { exact: ['A'] }, after: { exact: [] } },
	])
		t.notOk(TaskDefinition.safeParse(broken).success);
});
