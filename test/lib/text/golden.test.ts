import t from 'tap';
import { Serialiser } from '../../../lib/text/serialiser.js';
import { goldenPatient, microseconds } from '../../fixtures/golden-patient.js';

const released = { numbers: 'two-decimal', label: 'code', birthLines: 'any-code' } as const;

t.test('UT2 by day: the text of the released serialiser', async (t) => {
	const { text, counts, fits } = new Serialiser(released).serialise(goldenPatient);
	t.equal(
		text,
		'Birth: 1985-03-15\n\n\n[2024-01-05]\nEssential Hypertension\nType 2 Diabetes Mellitus\n\n[2024-01-10]\nGlucose (mg/dL): 126.00\nHbA1c (%): 7.20\nCreatinine (mg/dL): 1.10\n\n[2024-01-15]\nBlood Pressure Systolic (mmHg): 138.00\nBlood Pressure Diastolic (mmHg): 88.00\n\n[2024-01-20]\nAnnual Wellness Visit\nMetformin 500mg\n\n[2024-01-25]\nGlucose (mg/dL): 118.00\nHbA1c (%): 6.90',
	);
	t.match(counts, { events: 12, written: 12, fromTable: 12, fromCode: 0 });
	t.ok(fits);
});

t.test('UT1 by day: the same with tags around the blocks', async (t) => {
	const { text } = new Serialiser({ ...released, format: 'tagged' }).serialise(goldenPatient);
	t.equal(
		text,
		'<demographics>\nBirth: 1985-03-15\n</demographics>\n\n\n[2024-01-05]\n<conditions>\nEssential Hypertension\nType 2 Diabetes Mellitus\n</conditions>\n\n[2024-01-10]\n<measurements>\nGlucose (mg/dL): 126.00\nHbA1c (%): 7.20\nCreatinine (mg/dL): 1.10\n</measurements>\n\n[2024-01-15]\n<measurements>\nBlood Pressure Systolic (mmHg): 138.00\nBlood Pressure Diastolic (mmHg): 88.00\n</measurements>\n\n[2024-01-20]\n<procedures>\nAnnual Wellness Visit\n</procedures>\n<drugs>\nMetformin 500mg\n</drugs>\n\n[2024-01-25]\n<measurements>\nGlucose (mg/dL): 118.00\nHbA1c (%): 6.90\n</measurements>',
	);
});

const timeBins: [number, number][] = [
	[30, 15],
	[15, 7],
	[7, 0],
];
const indexDate = microseconds('2024-01-31');

t.test('UT2 with time bins: the most recent bin first', async (t) => {
	const { text } = new Serialiser({ ...released, timeBins }).serialise(goldenPatient, { indexDate });
	t.equal(
		text,
		'Birth: 1985-03-15\n\n2024-01-24 - 2024-01-31\nGlucose (mg/dL): 118.00\nHbA1c (%): 6.90\n\n2024-01-16 - 2024-01-24\nAnnual Wellness Visit\nMetformin 500mg\n\n2024-01-01 - 2024-01-16\nEssential Hypertension\nType 2 Diabetes Mellitus\nGlucose (mg/dL): 126.00\nHbA1c (%): 7.20\nCreatinine (mg/dL): 1.10\nBlood Pressure Systolic (mmHg): 138.00\nBlood Pressure Diastolic (mmHg): 88.00',
	);
});

t.test('UT1 with time bins: the dates in a timespan', async (t) => {
	const { text } = new Serialiser({ ...released, format: 'tagged', timeBins }).serialise(goldenPatient, { indexDate });
	t.match(
		text,
		'<demographics>\nBirth: 1985-03-15\n</demographics>\n\n<timespan>2024-01-24 - 2024-01-31</timespan>\n<measurements>\nGlucose (mg/dL): 118.00\nHbA1c (%): 6.90\n</measurements>\n\n<timespan>2024-01-16 - 2024-01-24</timespan>\n<procedures>',
	);
});

t.test('by default numbers keep their significant digits', async (t) => {
	const { text } = new Serialiser().serialise(goldenPatient);
	t.match(text, 'Glucose (mg/dL): 126\nHbA1c (%): 7.2\nCreatinine (mg/dL): 1.1\n');
});
