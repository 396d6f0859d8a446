import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type BuildTasksOptions, readIndexDates, readLabels } from '../../../lib/index.js';
import { parseEndpoint } from '../../../lib/tasks/aces/endpoint.js';
import { parseAcesTask } from '../../../lib/tasks/aces/schema.js';
import { libraryTasks } from '../../../lib/tasks/library.js';
import { readIndexRules } from '../../../lib/tasks/read-index-rules.js';
import { tasksOfEvents } from '../../fixtures/tasks-of-events.js';
import type { TinyEvent } from '../../fixtures/tiny-meds.js';

const event = (subject: number, at: string, code: string, value?: number): TinyEvent => ({
	subject,
	time: `2020-${at}`,
	code,
	...(value === undefined ? {} : { value }),
});
const iso = (microseconds: bigint) => new Date(Number(microseconds / 1000n)).toISOString().slice(5, 16);

async function built(t: Test, events: readonly TinyEvent[], yaml: string, more: Partial<BuildTasksOptions> = {}) {
	const { list, out, warnings } = await tasksOfEvents(t, events, {
		tasks: [],
		acesTasks: [{ name: 'task', yaml }],
		...more,
	});
	const entry = list.tasks[0]!;
	const labels = await readLabels(join(out, entry.directory));
	return {
		entry,
		out,
		warnings,
		labels: labels.map((row) => `${row.subjectId} ${iso(row.predictionTime)} ${row.value}`),
	};
}

const predicates = `
predicates:
  admission: {code: {regex: "^ADMISSION//"}}
  discharge: {code: DISCHARGE}
  death: {code: MEDS_DEATH}
  high: {code: {any: [LAB//K, LAB//K2]}, value_min: 5.5, value_min_inclusive: true}
  end_of_stay: {expr: "or(discharge, death)"}
trigger: admission
`;
const inHospital = `${predicates}
windows:
  input:
    start: NULL
    end: trigger + 24h
    has:
      _ANY_EVENT: (2, None)
    index_timestamp: end
  gap:
    start: trigger
    end: start + 24h
    start_inclusive: False
    has:
      end_of_stay: (None, 0)
  target:
    start: gap.end
    end: start -> end_of_stay
    start_inclusive: False
    label: death
`;

t.test('windows, inclusion counts and derived predicates, worked out by hand', async (t) => {
	const { labels, entry, out } = await built(
		t,
		[
			// Dies in hospital on the third day.
			event(1, '01-01 08:00:00', 'VISIT'),
			event(1, '02-01 10:00:00', 'ADMISSION//EU'),
			event(1, '02-03 10:00:00', 'MEDS_DEATH'),
			// Goes home; then comes again and is gone within a day.
			event(2, '01-01 08:00:00', 'VISIT'),
			event(2, '02-01 10:00:00', 'ADMISSION//EU'),
			event(2, '02-05 10:00:00', 'DISCHARGE'),
			event(2, '03-01 10:00:00', 'ADMISSION//EU'),
			event(2, '03-02 09:00:00', 'DISCHARGE'),
			// Exactly at the end of the first day: within the gap, whose end is inclusive.
			event(3, '01-01 08:00:00', 'VISIT'),
			event(3, '02-01 10:00:00', 'ADMISSION//EU'),
			event(3, '02-02 10:00:00', 'DISCHARGE'),
			event(3, '02-10 10:00:00', 'DISCHARGE'),
			// One event alone up to the prediction time.
			event(4, '02-01 10:00:00', 'ADMISSION//EU'),
			event(4, '02-05 10:00:00', 'DISCHARGE'),
			// Never leaves: there is no such window.
			event(5, '01-01 08:00:00', 'VISIT'),
			event(5, '02-01 10:00:00', 'ADMISSION//EU'),
			event(5, '02-09 10:00:00', 'VISIT'),
		],
		inHospital,
	);
	t.same(labels, ['1 02-02T10:00 true', '2 02-02T10:00 false']);
	t.same(entry.predicates, [
		{ name: 'admission', events: 6 },
		{ name: 'discharge', events: 5 },
		{ name: 'death', events: 1 },
		{ name: 'high', events: 0 },
		{ name: 'end_of_stay', events: 6 },
	]);
	t.same(entry.flow, [
		{ step: 'trigger admission', samples: 6 },
		{ step: 'target: a end_of_stay', samples: 4 },
		{ step: 'input: _ANY_EVENT (2, any)', samples: 3 },
		{ step: 'gap: end_of_stay (any, 0)', samples: 2 },
	]);
	const origins = [...(await readIndexRules(out)).values()].flat();
	t.equal(origins.filter(({ rule }) => rule === 'aces/task').length, 2);
	t.ok((await readIndexDates(out)).some(({ predictionTime }) => iso(predictionTime) === '02-02T10:00'));
});

const labTask = `${predicates}
windows:
  input: {start: null, end: trigger, index_timestamp: end}
  target: {start: input.end, end: start + 7 days, start_inclusive: false, label: high}
`;

t.test('values have bounds; follow-up that ends first is unknown, and counted', async (t) => {
	const { labels, entry, warnings } = await built(
		t,
		[
			event(1, '02-01 10:00:00', 'ADMISSION//A'),
			event(1, '02-03 10:00:00', 'LAB//K', 5.5),
			event(2, '02-01 10:00:00', 'ADMISSION//A'),
			event(2, '02-03 10:00:00', 'LAB//K2', 5.4),
			event(2, '02-20 10:00:00', 'VISIT'),
			// Out of sight after two days.
			event(3, '02-01 10:00:00', 'ADMISSION//A'),
			event(3, '02-03 10:00:00', 'LAB//K', 4),
			// Dead after two days: nothing more will happen.
			event(4, '02-01 10:00:00', 'ADMISSION//A'),
			event(4, '02-03 10:00:00', 'MEDS_DEATH'),
		],
		labTask,
	);
	t.same(labels, ['1 02-01T10:00 true', '2 02-01T10:00 false', '4 02-01T10:00 false']);
	t.equal(entry.excluded.censored, 1);
	t.match(warnings.join(), /task aces\/task: no event of the data matches discharge/);
});

t.test("a data set's own predicates take the place of the task's", async (t) => {
	const open = labTask.replace('{any: [LAB//K, LAB//K2]}', '???');
	const events = [
		event(1, '02-01 10:00:00', 'ADMISSION//A'),
		event(1, '02-03 10:00:00', 'POTASSIUM', 9),
		event(1, '02-20 10:00:00', 'VISIT'),
	];
	await t.rejects(built(t, events, open), { code: 'EHR_JEPA_CONFIG', message: /high is \?\?\?.*--predicates/ });
	const own = 'predicates:\n  high: {code: POTASSIUM, value_min: 8}\n';
	const { labels } = await built(t, events, '', { acesTasks: [{ name: 'task', yaml: open, predicates: own }] });
	t.same(labels, ['1 02-01T10:00 true']);
});

t.test('what is not supported or makes no sense is refused by name', async (t) => {
	const refused = (yaml: string) => parseAcesTask('f.yaml', yaml);
	const has = (message: RegExp) => ({ code: 'EHR_JEPA_CONFIG', message });
	await t.rejects(
		refused(labTask.replace('value_min: 5.5', 'other_cols: {a: b}')),
		has(/other_cols \(line \d+\).*not supported/),
	);
	await t.rejects(
		refused(`${labTask}patient_demographics: {a: {code: b}}`),
		has(/patient_demographics.*not supported/),
	);
	await t.rejects(built(t, [event(1, '02-01 10:00:00', 'A')], labTask.replace('"^ADMISSION//"', '"([^A"')), {
		code: 'EHR_JEPA_CONFIG',
		message: '[tasks task] predicates.admission.code.regex must be a regular expression as RE2 reads it but is "([^A"',
	});
	await t.rejects(refused(`${labTask}sampling: 3`), has(/no option "sampling"/));
	await t.rejects(
		refused(labTask.replace('trigger: admission', 'trigger: admision')),
		has(/trigger must name a predicate.*admision/),
	);
	await t.rejects(
		refused(labTask.replace('label: high', 'label: hi')),
		has(/windows.target.label must name a predicate/),
	);
	await t.rejects(refused(labTask.replace(', label: high', '')), has(/exactly one window must carry label.*0 do/));
	await t.rejects(
		refused(labTask.replace('input.end,', 'inpt.end,')),
		has(/must refer to trigger, start, end or a window.*inpt/),
	);
	for (const span of ['7 moons', '1000001 days', '99999999999999999999h'])
		await t.rejects(refused(labTask.replace('start + 7 days', `start + ${span}`)), has(/must be null, a time such as/));
	await t.rejects(
		refused(labTask.replace('value_min: 5.5', 'value_min: 5.5, value_max: 5')),
		has(/predicates.high: must have a value_min of at most its value_max/),
	);
	await t.rejects(
		refused(labTask.replace('label: high', 'label: high, has: {high: "(5, 2)"}')),
		has(/\(least, most\), the least first/),
	);
	await t.rejects(refused(labTask.replace('or(discharge, death)', 'not(death)')), has(/expr.*must be and\(a, b/s));
	await t.rejects(refused('a: [1'), has(/must be YAML but line \d+ is not/));
	await t.rejects(refused('- a\n- b'), has(/a task must be names with values but is a list/));
	await t.rejects(refused('just words'), has(/a task must be names with values but is a text/));
	await t.rejects(refused(''), has(/a task must be names with values but is null/));
	await t.rejects(refused('predicates: [a]\ntrigger: a'), has(/predicates must be names with values but is a list/));
});

t.test('a window that shows the answer is refused', async (t) => {
	const events = [
		event(1, '02-01 10:00:00', 'ADMISSION//A'),
		event(1, '02-01 10:00:00', 'LAB//K', 9),
		event(1, '03-01 10:00:00', 'VISIT'),
	];
	await t.rejects(built(t, events, labTask.replace('start_inclusive: false, label', 'label')), {
		code: 'EHR_JEPA_CONFIG',
		message:
			/window target must begin after the prediction time \(input\.end\) but begins at or before it in 1 samples/,
	});
	await t.rejects(built(t, events, labTask.replace('end: trigger,', 'end: target.start,')), {
		message: /must not refer to each other in a circle/,
	});
});

t.test('ends of windows', async (t) => {
	const hour = 3_600_000_000n;
	t.match(parseEndpoint('trigger + 1d 12h'), { kind: 'time', offset: 36n * hour });
	t.match(parseEndpoint('gap.end - 30 minutes'), { from: { window: 'gap', side: 'end' }, offset: -hour / 2n });
	t.match(parseEndpoint('end <- admission'), {
		kind: 'event',
		from: { window: '', side: 'end' },
		direction: 'previous',
	});
	t.same(parseEndpoint(null), { kind: 'edge' });
	t.equal(parseEndpoint('trigger * 2'), undefined);
	t.equal(parseEndpoint('trigger + 3 parsecs'), undefined);
});

t.test('the library: a long stay is one of seven days', async (t) => {
	const { acesTasks } = libraryTasks(['long-stay']);
	const stay = (subject: number, end: string) => [
		event(subject, '02-01 10:00:00', 'HOSPITAL_ADMISSION//EW'),
		event(subject, `02-${end}`, 'HOSPITAL_DISCHARGE//HOME'),
		event(subject, '03-01 10:00:00', 'VISIT'),
	];
	const events = [...stay(1, '08 09:59:59'), ...stay(2, '08 10:00:00'), ...stay(3, '02 09:00:00')];
	const long = acesTasks.find(({ name }) => name === 'long-stay')!;
	const { labels } = await built(t, events, '', { acesTasks: [long] });
	t.same(labels, ['1 02-02T10:00 false', '2 02-02T10:00 true'], 'who left within a day is not asked about');
});

t.test('the library: who is admitted to intensive care is not asked whether they come there', async (t) => {
	const stay = (subject: number, ...intensive: readonly string[]) => [
		event(subject, '02-01 10:00:00', 'HOSPITAL_ADMISSION//EW'),
		...intensive.map((at) => event(subject, `02-${at}`, 'ICU_ADMISSION//MICU')),
		event(subject, '02-09 10:00:00', 'HOSPITAL_DISCHARGE//HOME'),
	];
	const events = [
		...stay(1, '01 10:00:00', '05 10:00:00'),
		...stay(2, '01 20:00:00'),
		...stay(3, '05 10:00:00'),
		...stay(4),
	];
	const { labels } = await built(t, events, '', { acesTasks: [...libraryTasks(['intensive-care']).acesTasks] });
	t.same(labels, ['3 02-02T10:00 true', '4 02-02T10:00 false']);
});
