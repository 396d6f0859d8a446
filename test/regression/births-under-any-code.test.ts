/** Promise: a birth gives ages and is no day of care, whatever its code; who has none is counted, and candidates are named. */
import { join } from 'node:path';
import t from 'tap';
import { LifeCodes } from '../../lib/data/life-codes.js';
import { buildTasks, prepareStore, readIndexDates, Serialiser, validateMeds } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type TinyEvent, tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';

const task = {
	name: 'death',
	label: 'Death',
	kind: 'event' as const,
	codes: { exact: ['MEDS_DEATH'], prefix: [] },
	horizonsDays: [30],
};

/** Six patients who are born and die under these codes. */
function meds(folder: string, birth: string, death: string): Promise<string> {
	const events = [1, 2, 3, 4, 5, 6].flatMap((subject): TinyEvent[] => [
		...tinyPatient(subject, [2, 4, 6, 8]).map((event) =>
			event.code === 'MEDS_BIRTH' ? { ...event, code: birth } : event,
		),
		{ subject, time: '2020-01-20 10:00:00', code: death },
		{ subject, time: '2020-01-21 10:00:00', code: 'BILL' },
	]);
	const splits = { 1: 'train', 2: 'train', 3: 'train', 4: 'train', 5: 'tuning', 6: 'held_out' };
	return writeTinyMeds(folder, { '0.parquet': events }, splits);
}

t.test('births and deaths under usual and given codes give what MEDS_BIRTH gives', async (t) => {
	for (const [birth, death, lifeCodes] of [
		['MEDS_BIRTH', 'MEDS_DEATH', {}],
		['MEDS_BIRTH//x', 'MEDS_DEATH//in hospital', {}],
		['DOB', 'SNOMED/419620001', {}],
		['SNOMED/3950001', 'DOD', {}],
		['SNOMED//184099003', 'DEATH', {}],
		['own birth', 'own death', { birth: ['own birth'], death: ['own death'] }],
	] as const) {
		const folder = temporaryFolder(t);
		const root = await meds(join(folder, 'meds'), birth, death);
		const options = lifeCodes as { birth?: string[]; death?: string[] };
		const store = await prepareStore(root, join(folder, 'store'), { threads: 1, lifeCodes: options });
		t.match(store.births, { birthCodes: [birth], deathCodes: [death], patientsWithout: 0 }, birth);
		t.match(store.coverage, { births: 6 });
		const tasks = { tasks: [task], lifeCodes: options, minHistoryDays: 1, perPatient: 10 };
		const list = await buildTasks(root, join(folder, 'tasks'), tasks);
		t.equal(list.tasks[0]!.matchingEvents, 6, `${death} is a death`);
		const dates = await readIndexDates(join(folder, 'tasks'));
		t.equal(dates.length, 24, 'four days of care each: no birthday, nothing after death');
		const report = await validateMeds(root, { lifeCodes: options });
		t.same(
			report.findings.map(({ name }) => name).filter((name) => /birth|death/.test(name)),
			['after-death'],
		);
		const text = new Serialiser({}, new LifeCodes(options)).serialise([{ time: 0n, code: birth }]).text;
		t.match(text, /Birth: 1970-01-01/, `${birth} in text`);
	}
});

t.test('without a known birth, everyone says so and names what it may be', async (t) => {
	const folder = temporaryFolder(t);
	const root = await meds(join(folder, 'meds'), 'X//1', 'MEDS_DEATH');
	const said = /6 of 6 subjects have no birth.*it may be called X\/\/1 \(6 subjects\).*--birth-code/;
	t.match((await prepareStore(root, join(folder, 'store'), { threads: 1 })).notes.join('\n'), said);
	const warnings: string[] = [];
	const list = await buildTasks(
		root,
		join(folder, 'tasks'),
		{ tasks: [task] },
		{ onWarning: (text) => warnings.push(text) },
	);
	t.match(list.notes.join('\n'), said);
	t.match(warnings.join('\n'), said);
	const finding = (await validateMeds(root)).findings.find(({ name }) => name === 'subject-without-birth');
	t.match(finding, { count: 6, first: { value: 'it may be called X//1 (6 subjects)' } });
});

t.test('a code that only sounds like a birth is none', (t) => {
	const codes = new LifeCodes();
	for (const code of ['BIRTH WEIGHT', 'BIRTH//WEIGHT', 'MEDS_BIRTHDAY', 'DIAGNOSIS//ICD10CM//P15', 'SNOMED/39500010']) {
		t.notOk(codes.isBirth(code), code);
	}
	t.end();
});
