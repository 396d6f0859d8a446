import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parquetFiles } from '../../../lib/files/duckdb-files.js';
import { readTimeToEvent, type TaskDefinition } from '../../../lib/index.js';
import { parquetRows } from '../../fixtures/meds-rows.js';
import { tasksOfEvents } from '../../fixtures/tasks-of-events.js';

const day = (number: number, hour = 8) => new Date(Date.UTC(2020, 0, number, hour)).toISOString().slice(0, 19);
/** A visit on each of some days of January 2020. */
const visits = (subject: number, days: readonly number[]) =>
	days.map((number) => ({ subject, time: day(number), code: 'VISIT' }));
const target: TaskDefinition = {
	name: 'relapse',
	label: 'Relapse',
	kind: 'time-to-event',
	codes: { exact: ['RELAPSE'], prefix: [] },
	horizonsDays: [30, 5, 30],
};
// Index dates are the days with a start, inclusive of its hour.
const options = (task: TaskDefinition) => ({
	tasks: [task],
	indexRules: [{ kind: 'first-code' as const, codes: { exact: ['START'], prefix: [] } }],
	minHistoryDays: 1,
});
const start = (subject: number, number: number) => ({ subject, time: day(number), code: 'START' });

const events = [
	// 1: the event two days and two hours after the index date; what was before it does not count.
	...visits(1, [1, 20]),
	{ subject: 1, time: day(2), code: 'RELAPSE' },
	start(1, 5),
	{ subject: 1, time: day(7, 10), code: 'RELAPSE' },
	{ subject: 1, time: day(9), code: 'RELAPSE' },
	// 2: no event; the record ends ten days after the index date.
	...visits(2, [1, 15]),
	start(2, 5),
	// 3: dies without the event; what is written down days later is none.
	...visits(3, [1]),
	start(3, 5),
	{ subject: 3, time: day(8), code: 'MEDS_DEATH' },
	{ subject: 3, time: day(12), code: 'RELAPSE' },
	// 4: the event on the index day, after the index time.
	...visits(4, [1, 15]),
	start(4, 5),
	{ subject: 4, time: day(5, 8), code: 'VISIT' },
	// 5: the event on the day of death, at a later hour than the death.
	...visits(5, [1]),
	start(5, 5),
	{ subject: 5, time: day(9, 0), code: 'MEDS_DEATH' },
	{ subject: 5, time: day(9, 8), code: 'RELAPSE' },
];

t.test('days to the event, or to the end of the record or to death, by subject', async (t) => {
	const { list, out } = await tasksOfEvents(t, events, options(target));
	t.same(list.tasks, [], 'not among the tasks of yes and no');
	const [entry] = list.timeToEvent;
	t.match(entry, {
		name: 'relapse',
		horizonsDays: [5, 30],
		directory: join('relapse', 'time-to-event'),
		samples: 5,
		events: 2,
		died: 1,
		patients: 5,
		matchingEvents: 5,
		excluded: { prevalent: 0, inBuffer: 0, withoutFollowUp: 0 },
	});
	const labels = await readTimeToEvent(join(out, entry!.directory));
	t.same(
		labels.map(({ subjectId, days, event }) => [Number(subjectId), Math.round(days * 1000) / 1000, event]),
		[
			[1, 2.083, true],
			[2, 10, false],
			[3, 3, false],
			[4, 10, false],
			[5, 4, true],
		],
	);
	const columns = await parquetRows(`DESCRIBE SELECT * FROM ${parquetFiles(join(out, entry!.directory, '0.parquet'))}`);
	t.same(
		columns.map((row) => `${row.column_name} ${row.column_type}`),
		['subject_id BIGINT', 'prediction_time TIMESTAMP', 'boolean_value BOOLEAN', 'float_value FLOAT'],
		'the MEDS label schema',
	);
});

t.test('incident: patients whose history holds the event are left out and counted', async (t) => {
	const { list } = await tasksOfEvents(t, events, options({ ...target, incident: true }));
	t.match(list.timeToEvent[0], { samples: 4, events: 1, excluded: { prevalent: 1 } });
	t.match(list.timeToEvent[0]!.definition, /in patients whose history does not hold it/);
});

t.test('an event within the buffer is left out and counted', async (t) => {
	const { list } = await tasksOfEvents(t, events, { ...options(target), bufferDays: 2 });
	t.match(list.timeToEvent[0], { samples: 4, events: 1, excluded: { inBuffer: 1 } });
});

t.test('codes that match nothing leave everybody censored; incident belongs to this kind alone', async (t) => {
	const nothing = { ...target, codes: { exact: ['NOTHING'], prefix: [] } };
	const { list, out } = await tasksOfEvents(t, events, options(nothing));
	t.match(list.timeToEvent[0], { matchingEvents: 0, events: 0, samples: 5, died: 2 });
	t.ok(existsSync(join(out, 'relapse', 'time-to-event', '0.parquet')));
	await t.rejects(tasksOfEvents(t, events, options({ ...target, kind: 'event', incident: true } as never)), {
		code: 'EHR_JEPA_CONFIG',
		message: /has no option "incident"/,
	});
});
