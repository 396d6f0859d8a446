import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type BuildTasksOptions, type IndexRule, openMeds, readIndexDates } from '../../../lib/index.js';
import { readIndexRules } from '../../../lib/tasks/read-index-rules.js';
import fc from '../../fixtures/property.js';
import { tasksOfEvents } from '../../fixtures/tasks-of-events.js';
import type { TinyEvent } from '../../fixtures/tiny-meds.js';

const death = {
	name: 'death',
	label: 'Death',
	kind: 'event' as const,
	codes: { exact: ['MEDS_DEATH'], prefix: [] },
	horizonsDays: [30],
};
const day = (n: number, time = '10:00:00') =>
	`${new Date(Date.UTC(2020, 0, 1 + n)).toISOString().slice(0, 10)} ${time}`;
const event = (n: number, code: string, subject = 1): TinyEvent => ({ subject, time: day(n), code });
const dayUs = 86_400_000_000n;
const first = BigInt(Date.UTC(2020, 0, 1)) * 1000n;

/** Index days of a rule, as days of the record with the days since the anchor, and what rows say. */
async function daysOf(t: Test, events: readonly TinyEvent[], rule: IndexRule, more: Partial<BuildTasksOptions> = {}) {
	const { list, out, warnings } = await tasksOfEvents(t, events, {
		tasks: [death],
		minHistoryDays: 1,
		indexRules: [rule],
		...more,
	});
	const dates = await readIndexDates(out);
	const origins = await readIndexRules(out);
	const days = dates.map(({ predictionTime }) => Number((predictionTime - first) / dayUs));
	return { days, dates, origins, list, warnings, out };
}

const record = [
	event(0, 'VISIT//A'),
	event(3, 'HOSPITAL_ADMISSION//X'),
	event(3, 'DIAGNOSIS//A'),
	event(6, 'HOSPITAL_DISCHARGE//HOME'),
	event(10, 'DRUG//A'),
	event(12, 'DIAGNOSIS//A'),
	event(12, 'DIAGNOSIS//B'),
	event(20, 'DRUG//B'),
	event(25, 'DRUG//A'),
	event(30, 'VISIT//A'),
	event(41, 'DRUG//C'),
	event(41, 'VISIT//A'),
	event(400, 'VISIT//A'),
];

t.test('each rule names its days', async (t) => {
	const drugs = { prefix: ['DRUG//'] };
	const cases: readonly (readonly [IndexRule, readonly number[]])[] = [
		[{ kind: 'visit' }, [0, 3, 30, 41]],
		[{ kind: 'visit', every: 2 }, [3, 41]],
		[{ kind: 'admission' }, [3]],
		[{ kind: 'discharge' }, [6]],
		[{ kind: 'first-code', codes: { exact: ['DRUG//B', 'DIAGNOSIS//B'] } }, [12]],
		[{ kind: 'new-diagnosis' }, [3, 12]],
		[{ kind: 'new-line', drugs: [drugs] }, [20, 41]],
		[{ kind: 'new-line', drugs: [{ exact: ['DRUG//A', 'DRUG//B'] }, { exact: ['DRUG//C'] }] }, [41]],
		[{ kind: 'calendar', everyDays: 100 }, [100, 200, 300]],
		[{ kind: 'anchor', codes: { exact: ['DIAGNOSIS//A'] }, days: [0, 30, 90, 900] }, [3, 33, 93]],
		[{ kind: 'anchor', codes: { exact: ['DIAGNOSIS//A'] }, days: [0, 30], occurrence: 'each' }, [3, 12, 33, 42]],
	];
	const named = cases.map(([rule], i) => ({ ...rule, name: `rule-${i}` }));
	const { origins, list } = await daysOf(t, record, { kind: 'random' }, { indexRules: named });
	for (const [i, [rule, expected]] of cases.entries()) {
		const days = [...origins]
			.filter(([, found]) => found.some(({ rule: name }) => name === `rule-${i}`))
			.map(([key]) => Number((BigInt(key.split('@')[1]!) - first) / dayUs));
		t.same(
			days.sort((one, other) => one - other),
			expected,
			JSON.stringify(rule),
		);
		t.match(list.indexRules[i], { dates: expected.length, patients: 1 });
	}
});

t.test('days since the anchor stand beside each index date; a day without events ends at its end', async (t) => {
	const { dates, origins } = await daysOf(t, record, {
		kind: 'anchor',
		codes: { exact: ['DIAGNOSIS//A'] },
		days: [0, 30],
	});
	t.same(
		[...origins.values()].flat().map(({ daysSinceAnchor }) => daysSinceAnchor),
		[0, 30],
	);
	t.equal(dates[0]!.predictionTime, first + 3n * dayUs + 10n * 3_600_000_000n, 'the last event of the day');
	t.equal(dates[1]!.predictionTime, first + 34n * dayUs - 1n, 'the last microsecond of the day');
});

t.test('an index date that two rules give is one date with two origins', async (t) => {
	const { dates, origins } = await daysOf(
		t,
		record,
		{ kind: 'visit' },
		{
			indexRules: [{ kind: 'visit' }, { kind: 'admission' }, { kind: 'visit', name: 'second-visit', every: 2 }],
		},
	);
	t.equal(dates.length, 4);
	const names = dates.map(({ subjectId, predictionTime }) =>
		(origins.get(`${subjectId}@${predictionTime}`) ?? []).map(({ rule }) => rule).join(),
	);
	t.same(names, ['visit', 'admission,second-visit,visit', 'visit', 'second-visit,visit']);
});

t.test('days near death are left out and counted', async (t) => {
	const dying = [...record.slice(0, -1), event(43, 'MEDS_DEATH')];
	const all = await daysOf(t, dying, { kind: 'visit' });
	t.same(all.days, [0, 3, 30, 41]);
	const week = await daysOf(t, dying, { kind: 'visit' }, { dropDaysBeforeDeath: 7 });
	t.same(week.days, [0, 3, 30]);
	t.equal(week.list.indexRules[0]!.beforeDeath, 1);
	const edge = await daysOf(t, dying, { kind: 'visit' }, { dropDaysBeforeDeath: 1 });
	t.same(edge.days, [0, 3, 30, 41], 'two days before is not one day before');
	t.match(week.list.rule, /more than 7 days before the day of death/);
});

t.test('a rule that finds nothing is warned of; names must differ', async (t) => {
	const { list, warnings } = await daysOf(
		t,
		record,
		{ kind: 'first-code', codes: { exact: ['NOWHERE'] } },
		{
			indexRules: [{ kind: 'visit' }, { kind: 'first-code', codes: { exact: ['NOWHERE'] } }],
		},
	);
	t.equal(list.indexRules[1]!.matchingEvents, 0);
	t.match(warnings.join(), /index rule first-code: no event of the data matches its codes/);
	await t.rejects(daysOf(t, record, { kind: 'visit' }, { indexRules: [{ kind: 'visit' }, { kind: 'visit' }] }), {
		code: 'EHR_JEPA_CONFIG',
		message: /different names/,
	});
	await t.rejects(daysOf(t, record, { kind: 'anchor', codes: {} } as never), {
		message: /at least one code or prefix/,
	});
	await t.rejects(daysOf(t, record, { kind: 'visit', evry: 2 } as never), { message: /no option "evry"/ });
});

const rules: readonly IndexRule[] = [
	{ kind: 'random' },
	{ kind: 'visit', every: 2 },
	{ kind: 'new-diagnosis' },
	{ kind: 'new-line', drugs: [{ prefix: ['DRUG//'] }] },
	{ kind: 'calendar', everyDays: 9 },
	{ kind: 'anchor', codes: { prefix: ['DIAGNOSIS//'] }, days: [0, 5, 11], occurrence: 'each' },
];

t.test('moved by whole days, across 1970 and 1900, every rule gives the same days', async (t) => {
	const codes = ['VISIT//A', 'DIAGNOSIS//A', 'DIAGNOSIS//B', 'DRUG//A', 'DRUG//B', 'OTHER'];
	const events = fc.array(
		fc.record({
			subject: fc.integer({ min: 1, max: 3 }),
			at: fc.integer({ min: 0, max: 60 * 24 }),
			code: fc.constantFrom(...codes),
		}),
		{ minLength: 8, maxLength: 40 },
	);
	const property = fc.asyncProperty(events, fc.constantFrom(-18_263, -43_830, 40_000), async (drawn, shift) => {
		const made = async (by: number) => {
			const rows = drawn.map(({ subject, at, code }): TinyEvent => {
				const time = new Date(Date.UTC(2020, 0, 1 + by, 0, 60 * at)).toISOString();
				return { subject, time: time.slice(0, 19).replace('T', ' '), code };
			});
			const { dates, origins, list, out } = await daysOf(
				t,
				rows,
				{ kind: 'random' },
				{ indexRules: [...rules], minHistoryDays: 2 },
			);
			const moved = (key: string) => {
				const [subject, time] = key.split('@');
				return `${subject}@${BigInt(time!) - BigInt(by) * dayUs}`;
			};
			// No patient is in two splits, whatever rules its dates come from.
			const splits = new Map<bigint, Set<string>>();
			for (const { subjectId, split } of dates) splits.set(subjectId, (splits.get(subjectId) ?? new Set()).add(split));
			if ([...splits.values()].some((found) => found.size > 1)) throw new Error('a patient is in two splits');
			return {
				origins: [...origins].map(([key, value]) => [moved(key), value]).sort(),
				counts: list.indexRules,
				subjects: (await openMeds(join(out, '..', 'meds'))).subjects,
			};
		};
		const [here, there] = [await made(0), await made(shift)];
		t.same(there, here);
		return JSON.stringify(here.origins) === JSON.stringify(there.origins);
	});
	await fc.assert(property, { numRuns: 3 });
});
