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

/** ICD-9 codes whose last digits are these, below a beginning. */
const ending = (beginnings: readonly string[], ends: readonly string[]) =>
	beginnings.flatMap((beginning) => ends.map((end) => beginning + end));
const digits = [...'0123456789'];

const horizonsDays = [30, 180, 365];
const phenotype = (name: string, label: string, icd10: readonly string[], icd9: readonly string[]) => ({
	name,
	label,
	kind: 'incident' as const,
	codes: { exact: [], prefix: diagnoses(icd10, icd9) },
	horizonsDays,
});
/** An onset in patients who already have the disease that it is a progression of. */
const progression = (
	onset: ReturnType<typeof phenotype>,
	icd10: readonly string[],
	icd9: readonly string[],
): TaskDefinition => ({ ...onset, after: { exact: [], prefix: diagnoses(icd10, icd9) } });
/** Malignant neoplasms: C00 to C96, 140 to 209. */
const cancer = [['C'], ['14', '15', '16', '17', '18', '19', '20']] as const;

/** A drug as MIMIC-IV and the simulated cohort write it, and its ingredient in RxNorm. */
const drug = (names: readonly string[], rxnorm: readonly string[]) => ({
	exact: rxnorm.map((code) => `RxNorm/${code}`),
	prefix: names.flatMap((name) => [`MEDICATION//START//${name}`, `MEDICATION//${name}`]),
});
const treatmentChange = (name: string, label: string, drugs: ReturnType<typeof drug>[]): TaskDefinition => ({
	name,
	label,
	kind: 'change',
	drugs,
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
	phenotype(
		'type-2-diabetes',
		'Onset of type 2 diabetes',
		['E11'],
		ending(
			digits.map((digit) => `250${digit}`),
			['0', '2'],
		),
	),
	phenotype('heart-failure', 'Onset of heart failure', ['I50'], ['428']),
	phenotype('atrial-fibrillation', 'Onset of atrial fibrillation', ['I48'], ['4273']),
	phenotype('chronic-kidney-disease', 'Onset of chronic kidney disease', ['N18'], ['585']),
	phenotype('copd', 'Onset of chronic obstructive pulmonary disease', ['J44'], ['496', '4912', '4932']),
	phenotype(
		'stroke',
		'Onset of ischaemic stroke',
		['I63'],
		ending([...digits.map((digit) => `433${digit}`), ...digits.map((digit) => `434${digit}`)], ['1']),
	),
	phenotype('myocardial-infarction', 'Onset of acute myocardial infarction', ['I21'], ['410']),
	phenotype('hypertension', 'Onset of hypertension', ['I10'], ['401']),
	phenotype('hyperlipidaemia', 'Onset of hyperlipidaemia', ['E78'], ['272']),
	phenotype('pancreatic-cancer', 'Onset of pancreatic cancer', ['C25'], ['157']),
	phenotype('coeliac-disease', 'Onset of coeliac disease', ['K900'], ['5790']),
	phenotype('lupus', 'Onset of systemic lupus erythematosus', ['M32'], ['7100']),
	phenotype('metastasis', 'Onset of a secondary malignant neoplasm', ['C77', 'C78', 'C79'], ['196', '197', '198']),
	progression(phenotype('liver-metastasis', 'Progression of a cancer to the liver', ['C787'], ['1977']), ...cancer),
	progression(phenotype('lung-metastasis', 'Progression of a cancer to the lung', ['C780'], ['1970']), ...cancer),
	progression(phenotype('brain-metastasis', 'Progression of a cancer to the brain', ['C793'], ['1983']), ...cancer),
	progression(phenotype('bone-metastasis', 'Progression of a cancer to bone', ['C795'], ['1985']), ...cancer),
	progression(
		phenotype(
			'kidney-failure',
			'Progression of kidney disease to failure',
			['N185', 'N186', 'Z992'],
			['5855', '5856', 'V4511'],
		),
		['N18'],
		['585'],
	),
	progression(
		phenotype('heart-failure-in-hypertension', 'Progression of hypertension to heart failure', ['I50'], ['428']),
		['I10', 'I11', 'I12', 'I13'],
		['401', '402', '403', '404'],
	),
	treatmentChange('diabetes-treatment-change', 'Another glucose-lowering drug', [
		drug(['MetFORMIN', 'METFORMIN', 'Metformin'], ['6809']),
		drug(
			['GlipiZIDE', 'Glipizide', 'GlyBURIDE', 'GLYBURIDE', 'Glyburide', 'Glimepiride', 'glimepiride'],
			['4821', '4815', '25789'],
		),
		drug(
			['SITagliptin', 'Sitagliptin', 'sitaGLIPtin', 'sitagliptin', 'linagliptin', 'Linagliptin'],
			['593411', '1100699'],
		),
		drug(['DAPAGLIFLOZIN', 'Dapagliflozin', 'dapagliflozin', 'Empagliflozin', 'empagliflozin'], ['1488564', '1545653']),
		drug(['Liraglutide', 'liraglutide'], ['475968']),
		drug(['Pioglitazone', 'pioglitazone'], ['33738']),
		drug(['Insulin', 'INSULIN'], ['274783', '86009', '51428', '139825']),
	]),
	treatmentChange('anticoagulant-change', 'Another oral anticoagulant', [
		drug(['Warfarin'], ['11289']),
		drug(['Apixaban', 'apixaban'], ['1364430']),
		drug(['Rivaroxaban', 'rivaroxaban'], ['1114195']),
		drug(['Dabigatran', 'dabigatran'], ['1037042']),
		drug(['Edoxaban', 'edoxaban'], ['1599538']),
	]),
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
		name: 'intensive-care',
		// Of who is not there within the first day, its first moment included: some are admitted to it.
		yaml: `${stayPredicates}
  intensive_care: {code: {regex: "^ICU_ADMISSION(//|$)"}}
${input}
  first_day:
    start: trigger
    end: trigger + 24h
    has:
      intensive_care: (None, 0)
  target: {start: input.end, end: stay.end, start_inclusive: false, label: intensive_care}
`,
	},
	{
		name: 'hyponatraemia',
		yaml: abnormal(
			'{code: {regex: "^LAB//(RESULT//)?(50983|50824|52623|SODIUM)//|^LOINC/(2951-2|2947-0)"}, value_max: 125, value_max_inclusive: false}',
		),
	},
	{
		name: 'thrombocytopenia',
		yaml: abnormal(
			'{code: {regex: "^LAB//(RESULT//)?(51265|51704|PLATELETS)//|^LOINC/(777-3|26515-7)"}, value_max: 50, value_max_inclusive: false}',
		),
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
