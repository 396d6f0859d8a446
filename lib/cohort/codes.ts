import type { CodeDescription } from '../data/meds-writer.js';
import { diseaseAxes } from './disease-axes.js';

/** Codes that say nothing about the disease axes: a model has to learn to look past them. */
const noiseDiagnoses: readonly (readonly [string, string])[] = [
	['J069', 'Acute upper respiratory infection'],
	['M545', 'Low back pain'],
	['L309', 'Dermatitis'],
	['H6690', 'Otitis media'],
	['K219', 'Gastro-oesophageal reflux'],
	['R51', 'Headache'],
	['S93401A', 'Ankle sprain'],
	['N390', 'Urinary tract infection'],
	['F419', 'Anxiety disorder'],
	['M170', 'Osteoarthritis of knee'],
	['H524', 'Presbyopia'],
	['L720', 'Epidermal cyst'],
	['K5900', 'Constipation'],
	['J301', 'Allergic rhinitis'],
	['B351', 'Tinea unguium'],
	['M7918', 'Myalgia'],
];
const noiseDrugs = [
	'PARACETAMOL',
	'IBUPROFEN',
	'OMEPRAZOLE',
	'AMOXICILLIN',
	'CETIRIZINE',
	'MELATONIN',
	'VITAMIN_D',
	'HYDROCORTISONE_CREAM',
];
const noiseProcedures: readonly (readonly [string, string])[] = [
	['90658', 'Influenza vaccine'],
	['92014', 'Eye examination'],
	['D1110', 'Dental cleaning'],
	['77067', 'Screening mammography'],
	['93000', 'Electrocardiogram'],
	['71046', 'Chest radiograph'],
];
const noiseLabs: readonly (readonly [string, string])[] = [
	['LAB//SODIUM//mmol/L', 'Sodium'],
	['LAB//CALCIUM//mg/dL', 'Calcium'],
	['LAB//TSH//mIU/L', 'Thyroid-stimulating hormone'],
	['LAB//PLATELETS//10^9/L', 'Platelets'],
	['VITAL//HEART_RATE//1/min', 'Heart rate'],
	['VITAL//TEMPERATURE//Cel', 'Body temperature'],
	['VITAL//WEIGHT//kg', 'Body weight'],
];

const fixed: readonly (readonly [string, string])[] = [
	['GENDER//F', 'Female'],
	['GENDER//M', 'Male'],
	['MEDS_BIRTH', 'Birth'],
	['MEDS_DEATH', 'Death'],
	['VISIT//OUTPATIENT', 'Outpatient visit'],
	['ED_REGISTRATION', 'Emergency department arrival'],
	['HOSPITAL_ADMISSION//EMERGENCY', 'Emergency hospital admission'],
	['HOSPITAL_ADMISSION//ELECTIVE', 'Elective hospital admission'],
	['HOSPITAL_DISCHARGE//HOME', 'Discharged home'],
	['HOSPITAL_DISCHARGE//FACILITY', 'Discharged to a care facility'],
	['ICU_ADMISSION//MEDICAL', 'Admission to medical intensive care'],
	['ICU_DISCHARGE//WARD', 'Discharged from intensive care'],
];

function list(): CodeDescription[] {
	const codes: CodeDescription[] = fixed.map(([code, description]) => ({ code, description }));
	for (const axis of diseaseAxes) {
		codes.push(...axis.labs.map(({ code, description }) => ({ code, description })));
		codes.push(...axis.stages.map(({ code, description }) => ({ code, description })));
		codes.push({ code: `MEDICATION//START//${axis.drug.code}`, description: `${axis.drug.description} started` });
		codes.push({ code: `MEDICATION//STOP//${axis.drug.code}`, description: `${axis.drug.description} stopped` });
		codes.push(axis.procedure);
	}
	codes.push(...noiseDiagnoses.map(([code, description]) => ({ code: `DIAGNOSIS//ICD10CM//${code}`, description })));
	codes.push(
		...noiseDrugs.map((drug) => ({
			code: `MEDICATION//START//${drug}`,
			description: drug.toLowerCase().replaceAll('_', ' '),
		})),
	);
	codes.push(...noiseProcedures.map(([code, description]) => ({ code: `PROCEDURE//CPT//${code}`, description })));
	codes.push(...noiseLabs.map(([code, description]) => ({ code, description })));
	return codes;
}

/** Every code of the simulated cohort with its description. */
export const cohortCodes: readonly CodeDescription[] = list();

const indexOf = new Map(cohortCodes.map(({ code }, index) => [code, index]));

/** Index of a code in {@link cohortCodes}. */
export function codeIndex(code: string): number {
	const index = indexOf.get(code);
	if (index === undefined) throw new RangeError(`no code ${code} in the simulated cohort`);
	return index;
}

/** Index of a code in {@link cohortCodes}; undefined for one that the simulator does not write. */
export function findCode(code: string): number | undefined {
	return indexOf.get(code);
}

export const noiseCodes = {
	diagnoses: noiseDiagnoses.map(([code]) => codeIndex(`DIAGNOSIS//ICD10CM//${code}`)),
	drugs: noiseDrugs.map((drug) => codeIndex(`MEDICATION//START//${drug}`)),
	procedures: noiseProcedures.map(([code]) => codeIndex(`PROCEDURE//CPT//${code}`)),
	labs: [
		{ index: codeIndex('LAB//SODIUM//mmol/L'), mean: 139, deviation: 2.5, decimals: 0 },
		{ index: codeIndex('LAB//CALCIUM//mg/dL'), mean: 9.4, deviation: 0.4, decimals: 1 },
		{ index: codeIndex('LAB//TSH//mIU/L'), mean: 2, deviation: 0.8, decimals: 2 },
		{ index: codeIndex('LAB//PLATELETS//10^9/L'), mean: 240, deviation: 55, decimals: 0 },
		{ index: codeIndex('VITAL//HEART_RATE//1/min'), mean: 74, deviation: 10, decimals: 0 },
		{ index: codeIndex('VITAL//TEMPERATURE//Cel'), mean: 36.8, deviation: 0.35, decimals: 1 },
		{ index: codeIndex('VITAL//WEIGHT//kg'), mean: 78, deviation: 14, decimals: 1 },
	],
} as const;
