import t from 'tap';
import { unitOfCode } from '../../../lib/text/categories.js';
import { Serialiser } from '../../../lib/text/serialiser.js';
import type { TextEvent } from '../../../lib/text/text-event.js';
import { event, goldenPatient, microseconds } from '../../fixtures/golden-patient.js';

const day = '2024-01-05';
const text = (events: readonly TextEvent[], options: ConstructorParameters<typeof Serialiser>[0] = {}, range = {}) =>
	new Serialiser(options).serialise(events, range).text;

t.test('rule 1: the time filter is inclusive at both ends', async (t) => {
	const range = { start: microseconds('2024-01-10'), indexDate: microseconds('2024-01-20') };
	const { text: written, counts } = new Serialiser().serialise(goldenPatient, range);
	t.match(written, '[2024-01-10]\n');
	t.match(written, '[2024-01-20]\n');
	t.notMatch(written, /2024-01-05|2024-01-25/);
	t.match(written, 'Birth: 1985-03-15', 'demographics are written whatever the start');
	t.match(counts.dropped, { 'after-index-date': 2, 'before-start': 2 });
	const later = new Serialiser().serialise(goldenPatient, { indexDate: microseconds('1980-01-01') });
	t.equal(later.text, '', 'not a birth after the index date');
	t.throws(() => text(goldenPatient, {}, { start: 2n, indexDate: 1n }), { code: 'EHR_JEPA_CONFIG' });
});

t.test('rule 2: rows are sorted by time, then table; rows without a table come last', async (t) => {
	const rows = [
		event(day, null, 'DIAGNOSIS//none'),
		event(day, 'diagnosis', 'B'),
		event(day, 'condition', 'A'),
		event('2024-01-04', 'condition', 'Before'),
	];
	t.equal(text(rows), '\n[2024-01-04]\nBefore\n\n[2024-01-05]\nA\nB\nDIAGNOSIS//none');
	t.equal(text([...rows].reverse()), text(rows));
});

t.test('rule 3: person rows are printed first, without a date; so are static rows', async (t) => {
	const rows = [event(day, 'condition', 'A'), event(day, 'person', 'Sex F'), event(null, null, 'DIAGNOSIS//known')];
	t.equal(text(rows), 'Sex F\nDIAGNOSIS//known\n\n\n[2024-01-05]\nA');
});

t.test('rule 4: calendar days ascend, each with a line break and its date, also before 1970', async (t) => {
	t.equal(
		text([event('1969-12-31T23:59:59Z', 'condition', 'A'), event('1970-01-01', 'condition', 'B')]),
		'\n[1969-12-31]\nA\n\n[1970-01-01]\nB',
	);
	t.equal(text([event('2300-02-03T04:05:06Z', 'condition', 'Far')]), '\n[2300-02-03]\nFar');
	t.throws(() => text([{ time: 9_000_000_000_000_000_000n, code: 'DIAGNOSIS//X' }]), {
		code: 'EHR_JEPA_DATA',
		message: /years 1 to 9999/,
	});
});

t.test('rule 5: categories in their order; tables that are not listed are dropped and counted', async (t) => {
	const tables = ['note', 'death', 'medication', 'device_exposure', 'bmi', 'ed_out', 'diagnosis', 'Person'];
	const serialiser = new Serialiser();
	const { text: written, counts } = serialiser.serialise([
		...tables.map((table) => event(day, table, `in ${table}`)),
		event(day, 'billing', 'Invoice'),
		event(day, null, 'UNHEARD//OF'),
		event(day, null, 'UNHEARD//OF'),
	]);
	t.equal(
		written,
		'in Person\n\n\n[2024-01-05]\nin diagnosis\nin ed_out\nin bmi\nin device_exposure\nin medication\nin death\nin note',
	);
	t.match(counts, { events: 11, written: 8, fromTable: 8, fromCode: 0, dropped: { 'no-category': 3 } });
	t.same([...counts.unmappedTables], [['billing', 1]]);
	t.same([...counts.unmappedCodes], [['UNHEARD//OF', 2]]);
	t.same([...serialiser.totals.unmappedCodes], [['UNHEARD//OF', 2]], 'totals over patients');
});

t.test(
	'the category of a code without a table: the longest listed prefix that ends at the end of a word',
	async (t) => {
		const category = (code: string, prefixes = {}) => {
			const { lines } = new Serialiser({ categories: { tables: {}, prefixes } }).serialise([event(day, null, code)]);
			return lines.find(({ kind }) => kind === 'event')?.category;
		};
		t.equal(category('LAB//50931//mg/dL'), 'measurements');
		t.equal(category('LABOUR'), undefined);
		t.equal(category('lab'), 'measurements', 'case is the same');
		t.equal(category('SNOMED/3950001'), 'demographics', 'longest wins');
		t.equal(category('SNOMED/38341003'), 'conditions');
		t.equal(category('MEDS_DEATH//hospital'), 'death');
		t.equal(category('BMI (kg/m2)'), 'measurements');
		t.equal(category('LOINC:2345-7'), 'measurements');
		t.equal(category('LAB//50931', { 'LAB//50931': 'notes' }), 'notes', 'ours can be replaced');
		t.equal(category('ANYTHING', { '': 'observations' }), 'observations', 'the empty prefix takes what is left');
		t.equal(category(`LAB//${'X'.repeat(10_000)}`), 'measurements');
		t.throws(() => category('A', { A: 'no category' }), { code: 'EHR_JEPA_CONFIG' });
	},
);

t.test(
	'rule 6: a line per code in first-seen order, the last five values in time order, the unit of the newest',
	async (t) => {
		const values = [1, 2, 3, 4, 5, 6, 7].map((value) =>
			event(`2024-01-05T0${value}:00:00Z`, 'lab', 'K', { numericValue: value, unit: value === 7 ? 'mmol/L' : 'mEq/L' }),
		);
		const { text: written, counts } = new Serialiser().serialise([
			event('2024-01-05T00:30:00Z', 'lab', 'Na', { textValue: 'haemolysed' }),
			...values.reverse(),
			event('2024-01-05T09:00:00Z', 'lab', 'Na', { numericValue: 140, textValue: 'not read' }),
			event('2024-01-05T09:30:00Z', 'lab', 'Ca', { numericValue: Number.NaN }),
		]);
		t.equal(written, '\n[2024-01-05]\nNa: haemolysed, 140\nK (mmol/L): 3, 4, 5, 6, 7\nCa');
		t.match(counts, { events: 10, written: 8, dropped: { 'older-value': 2 }, mixedUnits: 1 });
		t.match(text(values, { valuesPerLine: 2 }), 'K (mmol/L): 6, 7');
	},
);

t.test('rule 6: which codes print a birth', async (t) => {
	const rows = [event('1985-03-15', null, 'MEDS_BIRTH'), event(day, 'condition', 'Birth injury')];
	t.equal(text(rows), 'Birth: 1985-03-15\n\n\n[2024-01-05]\nBirth injury');
	t.equal(text(rows, { birthLines: 'any-code' }), 'Birth: 1985-03-15\n\n\n[2024-01-05]\nBirth: 2024-01-05');
	t.equal(text([event(null, null, 'MEDS_BIRTH')]), 'MEDS_BIRTH', 'without a time there is no date to print');
});

t.test('rule 7: repeated lines are removed, and their events are still counted and found', async (t) => {
	const rows = [
		event(`${day}T08:00:00Z`, 'condition', 'A', { description: 'Same' }),
		event(`${day}T09:00:00Z`, 'condition', 'B', { description: 'Same' }),
		event(`${day}T07:00:00Z`, 'condition', 'A', { description: 'Same' }),
	];
	const { text: written, lines, counts } = new Serialiser().serialise(rows);
	t.equal(written, '\n[2024-01-05]\nSame');
	t.same(lines.at(-1)!.events, [2, 0, 1]);
	t.equal(counts.written, 3);
});

t.test('rule 8: a bin is open at its start and closed at its end; what lies outside is counted', async (t) => {
	const timeBins: [number, number][] = [
		[10, 5],
		[3, 0],
	];
	const indexDate = microseconds('2024-01-31');
	const rows = ['2024-01-21', '2024-01-21T00:00:01Z', '2024-01-26', '2024-01-27', '2024-01-28', '2024-01-31'].map(
		(time) => event(time, 'condition', time),
	);
	const { text: written, counts, blocks } = new Serialiser({ timeBins }).serialise(rows, { indexDate });
	t.equal(written, '2024-01-28 - 2024-01-31\n2024-01-31\n\n2024-01-21 - 2024-01-26\n2024-01-21T00:00:01Z\n2024-01-26');
	t.equal(counts.dropped['outside-bins'], 3);
	t.same(
		blocks.map(({ kind }) => kind),
		['bin', 'bin'],
	);
	t.throws(() => text(rows, { timeBins }), { code: 'EHR_JEPA_CONFIG', message: /indexDate must be given/ });
	for (const bad of [
		[[5, 10]],
		[
			[5, 0],
			[10, 5],
		],
		[
			[10, 4],
			[5, 0],
		],
		[],
	]) {
		t.throws(() => new Serialiser({ timeBins: bad as [number, number][] }), { code: 'EHR_JEPA_CONFIG' });
	}
});

t.test('codes or descriptions; the unit of a MIMIC code goes with its description', async (t) => {
	const rows = [
		event(day, null, 'LAB//50931//mg/dL', { description: 'Glucose', numericValue: 126 }),
		event(day, null, 'LAB//50912//UNK', { description: '', numericValue: 0.9 }),
	];
	t.equal(text(rows), '\n[2024-01-05]\nGlucose (mg/dL): 126\nLAB//50912//UNK: 0.9');
	t.equal(text(rows, { label: 'code' }), '\n[2024-01-05]\nLAB//50931//mg/dL: 126\nLAB//50912//UNK: 0.9');
	t.equal(unitOfCode('LAB//RESULT//50912//mg/dL'), 'mg/dL', 'ETL of April 2026 and later');
	t.equal(unitOfCode('LAB//SPECIMEN_COLLECTED//50912'), undefined);
	t.equal(unitOfCode('LAB//50912//UNK'), undefined);
	t.equal(unitOfCode('SUBJECT_WEIGHT_AT_INFUSION//KG'), 'KG');
	t.equal(unitOfCode('DIAGNOSIS//ICD//10//I10'), undefined);
});

t.test('two decimals destroy small values; significant digits do not', async (t) => {
	const rows = [event(day, 'lab', 'Troponin', { numericValue: Math.fround(0.004), unit: 'ng/mL' })];
	t.match(text(rows, { numbers: 'two-decimal' }), 'Troponin (ng/mL): 0.00');
	t.match(text(rows), 'Troponin (ng/mL): 0.004');
});

t.test('values under another name are refused, and the message names the fix', async (t) => {
	for (const field of ['value', 'numeric_value', 'text_value']) {
		const row = { time: 0n, code: 'LAB//1', [field]: 7 };
		t.throws(() => text([row]), {
			code: 'EHR_JEPA_DATA',
			message: new RegExp(
				`event 0: column ${field} must be called \\w+, or every value would be lost; rename the field`,
			),
		});
	}
	const wrong = (fields: object) => ({ time: 0n, code: 'LAB//1', ...fields }) as unknown as TextEvent;
	t.throws(() => text([wrong({ numericValue: '7' })]), { message: /must be a number.*convert the column/ });
	t.throws(() => text([wrong({ time: 0 })]), { message: /must be a bigint of microseconds/ });
	t.throws(() => text([wrong({ time: undefined })]), { message: /must be a bigint of microseconds/ });
	t.throws(() => text([wrong({ code: '' })]), { message: /code must be a text that is not empty/ });
	t.throws(() => new Serialiser({ label: 'name' } as never), { code: 'EHR_JEPA_CONFIG' });
	t.throws(() => new Serialiser({ lables: 'code' } as never), { code: 'EHR_JEPA_CONFIG' });
});

t.test('the window: newest whole days, demographics always, the newest moment never cut', async (t) => {
	const whole = text(goldenPatient);
	const measure = (written: string) => written.length;
	const windowed = (budget: number) => new Serialiser().serialise(goldenPatient, { window: { budget, measure } });
	t.equal(windowed(whole.length).text, whole);
	const shorter = windowed(whole.length - 1);
	t.ok(shorter.text.startsWith('Birth: 1985-03-15\n\n\n[2024-01-10]\n'));
	t.equal(shorter.counts.dropped['outside-window'], 2);
	const one = windowed(1);
	t.equal(one.text, 'Birth: 1985-03-15\n\n\n[2024-01-25]\nGlucose (mg/dL): 118\nHbA1c (%): 6.9');
	t.notOk(one.fits, 'kept although it is larger than the window');
	const hours = ['01', '02', '03'].map((hour) => event(`2024-01-05T${hour}:00:00Z`, 'condition', `At ${hour}`));
	const cut = new Serialiser().serialise(hours, { window: { budget: 30, measure } });
	t.equal(cut.text, '\n[2024-01-05]\nAt 02\nAt 03', 'a newest day that is too large loses its oldest moments');
	t.ok(cut.fits);
	t.throws(() => windowed(0), { code: 'EHR_JEPA_CONFIG' });
});

t.test('no events, and demographics alone', async (t) => {
	t.match(new Serialiser().serialise([]), { text: '', lines: [], blocks: [], fits: true });
	const window = { budget: 5, measure: (written: string) => written.length };
	t.match(new Serialiser().serialise([event(null, 'person', 'Sex F')], { window }), { text: 'Sex F', fits: true });
});
