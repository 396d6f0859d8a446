/** Promise: a code of the history that nearly decides a label is named, and a buffer keeps it out. */
import { join } from 'node:path';
import t from 'tap';
import { buildTasks } from '../../lib/index.js';
import { binomialTail } from '../../lib/tasks/deciding-codes.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type TinyEvent, writeTinyMeds } from '../fixtures/tiny-meds.js';

const task = {
	name: 'death',
	label: 'Death',
	kind: 'event' as const,
	codes: { exact: ['MEDS_DEATH'], prefix: [] },
	horizonsDays: [2],
};

/** A discharge "DIED" ten minutes before a death that is only a date. */
const events = Array.from({ length: 40 }, (_, i) => i + 1).flatMap((subject): TinyEvent[] => {
	const at = (day: string, code: string, time = '10:00:00') => ({ subject, time: `2020-01-${day} ${time}`, code });
	const stay = ['01', '02', '03'].map((day) => at(day, 'VISIT'));
	const birth = { subject, time: '1950-01-01 00:00:00', code: 'MEDS_BIRTH' };
	return subject % 2 === 0
		? [birth, ...stay, at('04', 'DISCHARGE//DIED', '23:50:00'), at('05', 'MEDS_DEATH', '00:00:00')]
		: [birth, ...stay, at('04', 'DISCHARGE//HOME', '23:50:00'), at('20', 'VISIT')];
});

t.test('the discharge that tells the death is named; one day of buffer takes it out', async (t) => {
	const folder = temporaryFolder(t);
	const meds = await writeTinyMeds(join(folder, 'meds'), { 'train/0.parquet': events });
	const warnings: string[] = [];
	const onWarning = (text: string) => warnings.push(text);
	const built = await buildTasks(meds, join(folder, 'a'), { tasks: [task], perPatient: 10 }, { onWarning });
	t.same(
		built.tasks[0]!.decidingCodes.map(({ code, label, samples, agreeing }) => [code, label, samples, agreeing]).filter(
			([code]) => code === 'DISCHARGE//DIED',
		),
		[['DISCHARGE//DIED', true, 20, 20]],
	);
	t.match(
		warnings.join(),
		/20 of 20 samples with DISCHARGE\/\/DIED in their history are positive.*--hide-deciding-codes.*--buffer-days/,
	);
	const buffered = await buildTasks(meds, join(folder, 'b'), { tasks: [task], perPatient: 10, bufferDays: 1 });
	t.notOk(buffered.tasks[0]!.decidingCodes.some(({ code }) => code === 'DISCHARGE//DIED'));
	t.ok(buffered.tasks[0]!.excluded.inBuffer >= 20);
});

t.test('subjects whom the rule leaves without an index date are counted', async (t) => {
	const folder = temporaryFolder(t);
	const long = Array.from({ length: 9 }, (_, i) => ({
		subject: 41,
		time: `2020-01-0${i + 1} 10:00:00`,
		code: 'VISIT',
	}));
	const meds = await writeTinyMeds(join(folder, 'meds'), { 'train/0.parquet': [...events, ...long] });
	const list = await buildTasks(meds, join(folder, 'tasks'), { tasks: [task], minHistoryDays: 4 });
	t.same(list.subjectsWithoutIndexDates, { train: 0, tuning: 0, held_out: 0 });
	const more = await buildTasks(meds, join(folder, 'more'), { tasks: [task], minHistoryDays: 5 });
	t.same(more.subjectsWithoutIndexDates, { train: 40, tuning: 0, held_out: 0 });
});

t.test('the chance of a code by luck', (t) => {
	t.ok(Math.abs(binomialTail(2, 2, 0.25) - 0.0625) < 1e-12);
	t.ok(Math.abs(binomialTail(0, 5, 0.3) - 1) < 1e-12);
	t.ok(Math.abs(binomialTail(1, 3, 0.5) - 0.875) < 1e-12);
	t.end();
});
