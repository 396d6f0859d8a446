import type { AcesTaskSource } from './aces-tasks.js';
import type { TaskDefinition } from './definitions.js';
import { usualCodes } from './usual-codes.js';

/** Beginnings of ICD-10 and ICD-9 codes in the writings of the usual ETLs. */
function diagnoses(icd10: readonly string[], icd9: readonly string[]): string[] {
	return [
		...icd10.flatMap((code) => [
			`DIAGNOSIS//ICD//10//${code}`,
			`DIAGNOSIS//ICD10CM//${code}`,
			`ICD10CM/${code.length > 3 ? `${code.slice(0, 3)}.${code.slice(3)}` : code}`,
		]),
		...icd9.flatMap((code) => [
			`DIAGNOSIS//ICD//9//${code}`,
			`DIAGNOSIS//ICD9CM//${code}`,
			`ICD9CM/${code.length > 3 ? `${code.slice(0, 3)}.${code.slice(3)}` : code}`,
		]),
	];
}

const horizonsDays = [30, 180, 365];
const phenotype = (name: string, label: string, icd10: readonly string[], icd9: readonly string[]): TaskDefinition => ({
	name,
	label,
	kind: 'incident',
	codes: { exact: [], prefix: diagnoses(icd10, icd9) },
	horizonsDays,
});

/** Tasks with a horizon after any index date. INSPECT's eight are mortality, readmission, pulmonary hypertension and embolism. */
const horizonTasks: readonly TaskDefinition[] = [
	{
		name: 'mortality',
		label: 'Death',
		kind: 'event',
		codes: { exact: ['MEDS_DEATH'], prefix: ['MEDS_DEATH//'] },
		horizonsDays,
	},
	{
		name: 'readmission',
		label: 'Hospital admission',
		kind: 'event',
		codes: { exact: [...usualCodes.admission.exact], prefix: [...usualCodes.admission.prefix] },
		horizonsDays,
	},
	phenotype('pulmonary-hypertension', 'Onset of pulmonary hypertension', ['I270', 'I272'], ['4160', '4168']),
	phenotype('pulmonary-embolism', 'Onset of pulmonary embolism', ['I26'], ['4151']),
	phenotype('type-2-diabetes', 'Onset of type 2 diabetes', ['E11'], ['25000', '25002']),
	phenotype('heart-failure', 'Onset of heart failure', ['I50'], ['428']),
	phenotype('atrial-fibrillation', 'Onset of atrial fibrillation', ['I48'], ['4273']),
	phenotype('chronic-kidney-disease', 'Onset of chronic kidney disease', ['N18'], ['585']),
	phenotype('copd', 'Onset of chronic obstructive pulmonary disease', ['J44'], ['496']),
	phenotype('stroke', 'Onset of ischaemic stroke', ['I63'], ['434']),
	phenotype('myocardial-infarction', 'Onset of acute myocardial infarction', ['I21'], ['410']),
	phenotype('metastasis', 'Onset of a secondary malignant neoplasm', ['C77', 'C78', 'C79'], ['196', '197', '198']),
];

const stayPredicates = `predicates:
  admission: {code: {regex: "^(HOSPITAL_ADMISSION(//|$)|Visit/(IP|ERIP))"}}
  discharge: {code: {regex: "^(HOSPITAL_DISCHARGE(//|$)|discharge/)"}}
  death: {code: {regex: "^MEDS_DEATH(//|$)"}}
  discharge_or_death: {expr: "or(discharge, death)"}`;

/** A day after admission to a patient who is still there; what is looked for begins after it. */
const input = `trigger: admission
windows:
  input:
    start: null
    end: trigger + 24h
    index_timestamp: end
  gap:
    start: trigger
    end: trigger + 24h
    start_inclusive: false
    has:
      admission: (None, 0)
      discharge_or_death: (None, 0)
  stay: {start: trigger, end: start -> discharge_or_death}`;

const abnormal = (predicate: string) => `${stayPredicates}
  abnormal: ${predicate}
${input}
  target: {start: input.end, end: stay.end, start_inclusive: false, label: abnormal}
`;

/** Tasks of hospital stays, read a day after admission. */
const stayTasks: readonly AcesTaskSource[] = [
	{
		name: 'in-hospital-mortality',
		// A death may be a date alone, before or after the discharge that tells it.
		yaml: `${stayPredicates}
  died: {code: {regex: "^(HOSPITAL_DISCHARGE//(DIED|DEAD|EXPIRED)|MEDS_DEATH(//|$))"}}
${input}
  target: {start: input.end, end: stay.end, start_inclusive: false, label: died}
`,
	},
	{
		name: 'long-stay',
		// The stay ends on the seventh day after admission or later.
		yaml: `${stayPredicates}
${input}
  target: {start: trigger + 7d, end: stay.end, label: discharge_or_death}
`,
	},
	{
		name: 'hyperkalaemia',
		yaml: abnormal(
			'{code: {regex: "^LAB//(RESULT//)?(50971|52610|POTASSIUM)//|^LOINC/(2823-3|6298-4)"}, value_min: 5.5, value_min_inclusive: true}',
		),
	},
	{
		name: 'severe-anaemia',
		yaml: abnormal(
			'{code: {regex: "^LAB//(RESULT//)?(51222|50811|HEMOGLOBIN)//|^LOINC/718-7"}, value_max: 7, value_max_inclusive: false}',
		),
	},
	{
		name: 'hypoglycaemia',
		yaml: abnormal(
			'{code: {regex: "^LAB//(RESULT//)?(50931|50809|GLUCOSE)//|^LOINC/(2345-7|2339-0)"}, value_max: 70, value_max_inclusive: false}',
		),
	},
	{
		name: 'high-creatinine',
		yaml: abnormal(
			'{code: {regex: "^LAB//(RESULT//)?(50912|52546|CREATININE)//|^LOINC/2160-0"}, value_min: 2, value_min_inclusive: true}',
		),
	},
];

export const libraryNames: readonly string[] = [...horizonTasks, ...stayTasks].map(({ name }) => name);

/** The tasks of these names; a name that is none is passed over. */
export function libraryTasks(names: readonly string[]): {
	readonly tasks: readonly TaskDefinition[];
	readonly acesTasks: readonly AcesTaskSource[];
} {
	const chosen = new Set(names);
	return {
		tasks: horizonTasks.filter(({ name }) => chosen.has(name)),
		acesTasks: stayTasks.filter(({ name }) => chosen.has(name)),
	};
}
