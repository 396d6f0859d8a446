/** What a simulated patient can suffer from, and how it shows. Numbers are chosen, not fitted; see docs/simulated-cohort.md. */

/** A laboratory value as a noisy read-out of one axis: value = base + gain severity + noise (on the log scale when `log`). */
export interface Readout {
	readonly code: string;
	readonly description: string;
	readonly base: number;
	readonly gain: number;
	readonly noise: number;
	readonly log?: boolean;
	/** Decimals of the reported value. */
	readonly decimals: number;
}

/** Diagnosis that is made at a visit once severity has crossed its threshold. */
interface Stage {
	readonly threshold: number;
	readonly code: string;
	readonly description: string;
}

export interface DiseaseAxis {
	readonly name: string;
	/** Mean and spread of the yearly drift of severity over patients. */
	readonly drift: number;
	readonly driftSpread: number;
	/** Weight in the hazard of death and in the rate of admissions. */
	readonly lethality: number;
	readonly acuity: number;
	readonly labs: readonly Readout[];
	readonly stages: readonly Stage[];
	readonly drug: { readonly code: string; readonly description: string };
	readonly procedure: { readonly code: string; readonly description: string };
}

export const diseaseAxes: readonly DiseaseAxis[] = [
	{
		name: 'metabolic',
		drift: 0.1,
		driftSpread: 0.22,
		lethality: 0.3,
		acuity: 0.25,
		labs: [
			{ code: 'LAB//HBA1C//%', description: 'Haemoglobin A1c', base: 5.5, gain: 0.9, noise: 0.3, decimals: 1 },
			{
				code: 'LAB//GLUCOSE//mg/dL',
				description: 'Glucose',
				base: 4.55,
				gain: 0.2,
				noise: 0.15,
				log: true,
				decimals: 0,
			},
			{
				code: 'LAB//TRIGLYCERIDES//mg/dL',
				description: 'Triglycerides',
				base: 4.8,
				gain: 0.18,
				noise: 0.3,
				log: true,
				decimals: 0,
			},
		],
		stages: [
			{ threshold: 0.7, code: 'DIAGNOSIS//ICD10CM//R7303', description: 'Prediabetes' },
			{ threshold: 1.4, code: 'DIAGNOSIS//ICD10CM//E119', description: 'Type 2 diabetes without complications' },
			{ threshold: 2.3, code: 'DIAGNOSIS//ICD10CM//E1165', description: 'Type 2 diabetes with hyperglycaemia' },
		],
		drug: { code: 'METFORMIN', description: 'Metformin' },
		procedure: { code: 'PROCEDURE//CPT//83036', description: 'Glycated haemoglobin test panel' },
	},
	{
		name: 'cardiovascular',
		drift: 0.08,
		driftSpread: 0.25,
		lethality: 0.75,
		acuity: 0.6,
		labs: [
			{
				code: 'LAB//NT_PROBNP//pg/mL',
				description: 'NT-proBNP',
				base: 4.2,
				gain: 0.85,
				noise: 0.45,
				log: true,
				decimals: 0,
			},
			{
				code: 'VITAL//SYSTOLIC_BP//mmHg',
				description: 'Systolic blood pressure',
				base: 124,
				gain: 8,
				noise: 10,
				decimals: 0,
			},
			{
				code: 'LAB//TROPONIN_T//ng/L',
				description: 'Troponin T',
				base: 1.8,
				gain: 0.5,
				noise: 0.4,
				log: true,
				decimals: 1,
			},
		],
		stages: [
			{ threshold: 0.7, code: 'DIAGNOSIS//ICD10CM//I10', description: 'Essential hypertension' },
			{ threshold: 1.5, code: 'DIAGNOSIS//ICD10CM//I2510', description: 'Coronary artery disease' },
			{ threshold: 2.3, code: 'DIAGNOSIS//ICD10CM//I5022', description: 'Chronic systolic heart failure' },
		],
		drug: { code: 'LISINOPRIL', description: 'Lisinopril' },
		procedure: { code: 'PROCEDURE//CPT//92928', description: 'Coronary stent' },
	},
	{
		name: 'renal',
		drift: 0.04,
		driftSpread: 0.2,
		lethality: 0.5,
		acuity: 0.35,
		labs: [
			{
				code: 'LAB//CREATININE//mg/dL',
				description: 'Creatinine',
				base: -0.12,
				gain: 0.34,
				noise: 0.1,
				log: true,
				decimals: 2,
			},
			{
				code: 'LAB//EGFR//mL/min/1.73m2',
				description: 'Estimated glomerular filtration rate',
				base: 92,
				gain: -19,
				noise: 6,
				decimals: 0,
			},
			{ code: 'LAB//POTASSIUM//mmol/L', description: 'Potassium', base: 4.1, gain: 0.18, noise: 0.3, decimals: 1 },
		],
		stages: [
			{ threshold: 0.9, code: 'DIAGNOSIS//ICD10CM//N182', description: 'Chronic kidney disease, stage 2' },
			{ threshold: 1.6, code: 'DIAGNOSIS//ICD10CM//N1830', description: 'Chronic kidney disease, stage 3' },
			{ threshold: 2.5, code: 'DIAGNOSIS//ICD10CM//N184', description: 'Chronic kidney disease, stage 4' },
		],
		drug: { code: 'DAPAGLIFLOZIN', description: 'Dapagliflozin' },
		procedure: { code: 'PROCEDURE//CPT//90935', description: 'Haemodialysis' },
	},
	{
		name: 'respiratory',
		drift: 0.05,
		driftSpread: 0.24,
		lethality: 0.5,
		acuity: 0.55,
		labs: [
			{ code: 'VITAL//SPO2//%', description: 'Oxygen saturation', base: 97.5, gain: -2, noise: 1.2, decimals: 0 },
			{
				code: 'LAB//FEV1//L',
				description: 'Forced expiratory volume in one second',
				base: 1.1,
				gain: -0.22,
				noise: 0.12,
				log: true,
				decimals: 2,
			},
			{ code: 'LAB//BICARBONATE//mmol/L', description: 'Bicarbonate', base: 24.5, gain: 1.3, noise: 1.6, decimals: 0 },
		],
		stages: [
			{ threshold: 0.8, code: 'DIAGNOSIS//ICD10CM//J4520', description: 'Mild asthma' },
			{ threshold: 1.5, code: 'DIAGNOSIS//ICD10CM//J449', description: 'Chronic obstructive pulmonary disease' },
			{ threshold: 2.4, code: 'DIAGNOSIS//ICD10CM//J9611', description: 'Chronic respiratory failure with hypoxia' },
		],
		drug: { code: 'TIOTROPIUM', description: 'Tiotropium' },
		procedure: { code: 'PROCEDURE//CPT//94660', description: 'Non-invasive ventilation' },
	},
	{
		name: 'neoplastic',
		drift: -0.12,
		driftSpread: 0.42,
		lethality: 1,
		acuity: 0.5,
		labs: [
			{
				code: 'LAB//CEA//ng/mL',
				description: 'Carcinoembryonic antigen',
				base: 0.5,
				gain: 0.75,
				noise: 0.4,
				log: true,
				decimals: 1,
			},
			{ code: 'LAB//ALBUMIN//g/dL', description: 'Albumin', base: 4.2, gain: -0.32, noise: 0.22, decimals: 1 },
			{ code: 'LAB//HEMOGLOBIN//g/dL', description: 'Haemoglobin', base: 13.9, gain: -0.95, noise: 0.7, decimals: 1 },
		],
		stages: [
			{ threshold: 0.9, code: 'DIAGNOSIS//ICD10CM//D126', description: 'Benign neoplasm of colon' },
			{ threshold: 1.6, code: 'DIAGNOSIS//ICD10CM//C189', description: 'Malignant neoplasm of colon' },
			{ threshold: 2.5, code: 'DIAGNOSIS//ICD10CM//C787', description: 'Secondary malignant neoplasm of liver' },
		],
		drug: { code: 'FOLFOX', description: 'FOLFOX chemotherapy' },
		procedure: { code: 'PROCEDURE//CPT//44140', description: 'Partial colectomy' },
	},
];

/** coupling[k][j]: how strongly severity of axis j above its first threshold adds to the yearly drift of axis k. */
export const coupling: readonly (readonly number[])[] = [
	[0, 0, 0.03, 0, 0],
	[0.12, 0, 0.1, 0.05, 0],
	[0.14, 0.08, 0, 0, 0.03],
	[0, 0.08, 0, 0, 0.05],
	[0.02, 0, 0, 0, 0],
];
