import { join } from 'node:path';
import t from 'tap';
import { buildTasks, readIndexDates, readLabels, readTaskList, type TaskDefinition } from '../../../lib/index.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { type TinyEvent, writeTinyMeds } from '../../fixtures/tiny-meds.js';

const at = (day: string, time = '10:00:00') => `2020-${day} ${time}`;
const iso = (microseconds: bigint) => new Date(Number(microseconds / 1000n)).toISOString().slice(5, 16);
const task: TaskDefinition = {
	name: 'bad-thing',
	label: 'Bad thing',
	kind: 'event',
	codes: { exact: ['BAD'], prefix: [] },
	horizonsDays: [30],
};

/** Visits, and what else happens; every patient has the same visits in January. */
function patient(subject: number, more: readonly TinyEvent[]): TinyEvent[] {
	const visits: TinyEvent[] = ['01-01', '01-05', '01-10', '01-15'].map((day) => ({
		subject,
		time: at(day),
		code: 'VISIT',
	}));
	return [...visits, ...more].sort((a, b) => (a.time! < b.time! ? -1 : 1));
}

async function labelsOf(t: { teardown: (run: () => void) => void }, events: TinyEvent[], definition = task) {
	const folder = temporaryFolder(t as never);
	const subjects = [...new Set(events.map(({ subject }) => subject!))];
	const meds = await writeTinyMeds(
		join(folder, 'meds'),
		{ '0.parquet': events },
		Object.fromEntries(subjects.map((subject) => [subject, 'train'])),
	);
	const out = join(folder, 'tasks');
	const list = await buildTasks(meds, out, { tasks: [definition], perPatient: 10, minHistoryDays: 2 });
	const labels = await readLabels(join(out, list.tasks[0]!.directory));
	return {
		folder,
		meds,
		out,
		list,
		labels: labels.map(({ subjectId, predictionTime, value }) => `${subjectId} ${iso(predictionTime)} ${value}`),
	};
}

t.test('labels: positive, negative, censored, by the rule', async (t) => {
	const { labels, list } = await labelsOf(t, [
		...patient(1, [{ subject: 1, time: at('01-30'), code: 'BAD' }]), // positive from 01-05, 01-10, 01-15
		...patient(2, [{ subject: 2, time: at('06-01'), code: 'VISIT' }]), // followed: negative
		...patient(3, []), // last day 01-15: censored everywhere
		...patient(4, [{ subject: 4, time: at('01-20'), code: 'MEDS_DEATH' }]), // died in the window: negative
		...patient(5, [{ subject: 5, time: at('03-01'), code: 'BAD' }]), // beyond 30 days: negative, followed
	]);
	t.same(
		labels.filter((label) => label.startsWith('1')),
		['1 01-05T10:00 true', '1 01-10T10:00 true', '1 01-15T10:00 true'],
	);
	t.same(
		labels.filter((label) => label.startsWith('2')),
		['2 01-05T10:00 false', '2 01-10T10:00 false', '2 01-15T10:00 false'],
	);
	t.same(
		labels.filter((label) => label.startsWith('3')),
		[],
	);
	t.same(
		labels.filter((label) => label.startsWith('4')),
		['4 01-05T10:00 false', '4 01-10T10:00 false', '4 01-15T10:00 false'],
	);
	t.same(
		labels.filter((label) => label.startsWith('5')),
		['5 01-05T10:00 false', '5 01-10T10:00 false', '5 01-15T10:00 false'],
	);
	t.equal(list.tasks[0]!.excluded.censored, 2, 'the last day of a record is no index date');
	t.equal(list.tasks[0]!.matchingEvents, 2);
});

t.test('what is written down after the day of death is no event', async (t) => {
	const dies = { subject: 1, time: at('01-20', '00:00:00'), code: 'MEDS_DEATH' };
	const late = { subject: 1, time: at('01-21', '08:00:00'), code: 'BAD' };
	const onTheDay = { ...late, time: at('01-20', '23:00:00') };
	const dates = ['01-05T10:00', '01-10T10:00', '01-15T10:00'];
	const billed = await labelsOf(t, patient(1, [dies, late]));
	t.same(
		billed.labels,
		dates.map((date) => `1 ${date} false`),
	);
	t.equal(billed.list.tasks[0]!.matchingEvents, 1, 'the codes fit the data');
	const last = await labelsOf(t, patient(1, [dies, onTheDay]));
	t.same(
		last.labels,
		dates.map((date) => `1 ${date} true`),
	);
});

t.test('an event on the index day belongs to no target', async (t) => {
	const { labels, list } = await labelsOf(
		t,
		patient(1, [
			{ subject: 1, time: at('01-10', '23:00:00'), code: 'BAD' },
			{ subject: 1, time: at('06-01'), code: 'VISIT' },
		]),
	);
	t.same(
		labels,
		['1 01-05T10:00 true', '1 01-10T23:00 false', '1 01-15T10:00 false'],
		'the index date is the last event of the day, so BAD is history there',
	);
	t.equal(list.tasks[0]!.excluded.inBuffer, 0);
});

t.test('an incident task leaves out who has it already', async (t) => {
	const events = patient(1, [
		{ subject: 1, time: at('01-10', '11:00:00'), code: 'BAD' },
		{ subject: 1, time: at('01-20'), code: 'BAD' },
		{ subject: 1, time: at('06-01'), code: 'VISIT' },
	]);
	const { labels, list } = await labelsOf(t, events, { ...task, kind: 'incident' });
	t.same(labels, ['1 01-05T10:00 true']);
	t.equal(list.tasks[0]!.excluded.prevalent, 3);
});

t.test('index dates: after enough history, before death and the last day, by seed', async (t) => {
	const { folder, meds, out } = await labelsOf(t, [
		...patient(1, [
			{ subject: 1, time: at('01-20'), code: 'MEDS_DEATH' },
			{ subject: 1, time: at('02-01'), code: 'LATE' },
		]),
		...patient(2, []),
	]);
	const dates = await readIndexDates(out);
	t.same(
		dates.map(({ subjectId, predictionTime }) => `${subjectId} ${iso(predictionTime).slice(0, 5)}`),
		['1 01-05', '1 01-10', '1 01-15', '2 01-05', '2 01-10'],
	);
	const drawn = async (seed: number) => {
		const target = join(folder, `seed-${seed}-${Math.random()}`);
		await buildTasks(meds, target, { tasks: [task], perPatient: 1, minHistoryDays: 1, seed });
		return (await readIndexDates(target)).map(({ predictionTime }) => predictionTime);
	};
	t.same(await drawn(5), await drawn(5));
	t.equal((await drawn(5)).length, 2);
	t.match((await readTaskList(out)).rule, /seed 1/);
});

t.test('bad task definitions are refused', async (t) => {
	const { meds, folder } = await labelsOf(t, patient(1, []));
	const refused = (tasks: TaskDefinition[]) => buildTasks(meds, join(folder, 'refused'), { tasks });
	await t.rejects(refused([task, task]), { code: 'EHR_JEPA_CONFIG', message: /names must be unique/ });
	await t.rejects(refused([{ ...task, name: 'Bad Thing' }]), { message: /lower case words/ });
	await t.rejects(refused([{ ...task, codes: { exact: [], prefix: [] } }]), {
		message: /must name at least one code or prefix/,
	});
	await t.rejects(readTaskList(folder), { code: 'EHR_JEPA_DATA', message: /tasks\.json/ });
});
