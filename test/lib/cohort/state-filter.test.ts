import t from 'tap';
import { cohortCodes } from '../../../lib/cohort/codes.js';
import { nightsOf, observedRecord, type PatientEvents } from '../../../lib/cohort/encounters.js';
import { simulatePatient } from '../../../lib/cohort/record.js';
import { StateFilter } from '../../../lib/cohort/state-filter.js';

const day = 86_400_000_000;
const hour = day / 24;

function eventsOf(patient: ReturnType<typeof simulatePatient>): PatientEvents {
	return {
		times: patient.times,
		codes: [...patient.codes].map((code) => cohortCodes[code]!.code),
		values: patient.values,
	};
}

t.test('events are read back as visits and stays', async (t) => {
	const rows: [time: number, code: string, value?: number][] = [
		[-Infinity, 'GENDER//F'],
		[-9000 * day, 'MEDS_BIRTH'],
		[100 * day + 9 * hour, 'VISIT//OUTPATIENT'],
		[100 * day + 9.2 * hour, 'LAB//HBA1C//%', 6.4],
		[100 * day + 9.2 * hour, 'LAB//SODIUM//mmol/L', 139],
		[100 * day + 10 * hour, 'DIAGNOSIS//ICD10CM//E119'],
		[100 * day + 10.1 * hour, 'MEDICATION//START//METFORMIN'],
		[200 * day + 2 * hour, 'ED_REGISTRATION'],
		[200 * day + 4 * hour, 'HOSPITAL_ADMISSION//EMERGENCY'],
		[200 * day + 5 * hour, 'ICU_ADMISSION//MEDICAL'],
		[201 * day + 6 * hour, 'LAB//GLUCOSE//mg/dL', 180],
		[203 * day + 3.5 * hour, 'MEDICATION//STOP//METFORMIN'],
		[203 * day + 4 * hour, 'HOSPITAL_DISCHARGE//FACILITY'],
	];
	const events = {
		times: rows.map(([time]) => time),
		codes: rows.map(([, code]) => code),
		values: rows.map(([, , value]) => value ?? Number.NaN),
	};
	const { birthDay, encounters } = observedRecord(events);
	t.equal(birthDay, -9000);
	const [visit, stay] = encounters;
	t.equal(encounters.length, 2);
	t.match(visit, { kind: 'visit', day: 100, labs: [{ axis: 0, lab: 0, night: 0, value: 6.4 }], discharge: undefined });
	t.same([...visit!.stages], [2, 0, 0, 0, 0]);
	t.same([...visit!.drugs], [1, 0, 0, 0, 0]);
	t.match(stay, {
		kind: 'stay',
		day: 200,
		labs: [{ axis: 0, lab: 1, night: 1 }],
		intensive: true,
		discharge: 'facility',
	});
	t.same([...stay!.drugs], [-1, 0, 0, 0, 0]);
	t.equal(nightsOf(stay!), 3);
	const earlier = observedRecord(events, 202 * day).encounters[1]!;
	t.equal(earlier.discharge, undefined, 'what comes later is not known');
	t.same([...earlier.drugs], [0, 0, 0, 0, 0]);
});

t.test('the filter finds the true state, says how well, and looks ahead', async (t) => {
	const filter = new StateFilter(200);
	const ahead = new StateFilter(200);
	const horizons = [0, 30, 365];
	const found = horizons.map(() => [] as { predicted: Float64Array; truth: number[] }[]);
	let [squares, count] = [0, 0];
	for (let index = 0; index < 60; index++) {
		const patient = simulatePatient(11, index, [3, 5]);
		const { firstDay, severity } = patient;
		const at = firstDay + Math.floor(0.5 * severity[0]!.length);
		const record = observedRecord(eventsOf(patient), (at + 1) * day - 1);
		filter.begin(1, index, record.birthDay, firstDay);
		let inside = false;
		for (const [i, encounter] of record.encounters.entries()) {
			const isOver = encounter.kind === 'visit' || encounter.discharge !== undefined;
			inside = !isOver;
			filter.observe(encounter, i === 0, isOver);
		}
		filter.liveUntil(at, !inside);
		const [now, variance] = [filter.severity(), filter.variance()];
		ahead.copyFrom(filter, 1, index);
		t.same(ahead.severity(), now, 'a copy is alike');
		for (const [h, predicted] of [now, ...ahead.forecast(horizons.slice(1))].entries()) {
			const place = at + horizons[h]! - firstDay;
			if (place >= severity[0]!.length) continue;
			found[h]!.push({ predicted, truth: severity.map((column) => column[place]!) });
		}
		for (const [k, mean] of now.entries()) {
			squares += (mean - severity[k]![at - firstDay]!) ** 2 / variance[k]!;
			count++;
		}
	}
	const r2 = found.map((pairs) => {
		let [errors, total] = [0, 0];
		for (let k = 0; k < 5; k++) {
			const mean = pairs.reduce((sum, { truth }) => sum + truth[k]!, 0) / pairs.length;
			for (const { predicted, truth } of pairs) {
				errors += (predicted[k]! - truth[k]!) ** 2;
				total += (mean - truth[k]!) ** 2;
			}
		}
		return 1 - errors / total;
	});
	t.ok(r2[0]! > 0.85, `R² now ${r2[0]}`);
	t.ok(r2[1]! < r2[0]! && r2[1]! > 0.8, `in 30 days ${r2[1]}`);
	t.ok(r2[2]! < r2[1]! && r2[2]! > 0.6, `in a year ${r2[2]}`);
	// Errors are as large as the filter says: one that trusted itself too much would be far above 1.
	t.ok(squares / count > 0.8 && squares / count < 1.3, `squared error over variance: ${squares / count}`);
});
