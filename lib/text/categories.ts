import { LifeCodes } from '../data/life-codes.js';

/**
 * Groups of events in the order in which they are written within a day (paper.md 1.5 rule 5). They are also the tag
 * names of the tagged format.
 */
export const categories = [
	'demographics',
	'conditions',
	'observations',
	'measurements',
	'procedures',
	'drugs',
	'death',
	'notes',
] as const;
export type Category = (typeof categories)[number];

/** Category of a source table, in lower case: the list of the released serialisers, which drop every other table, and ours. */
const tableCategories: Readonly<Record<string, Category>> = {
	person: 'demographics',
	condition: 'conditions',
	diagnosis: 'conditions',
	condition_occurrence: 'conditions',
	observation: 'observations',
	ed_out: 'observations',
	icu_discharge: 'observations',
	ed_registration: 'observations',
	hospital_admission: 'observations',
	icu_admission: 'observations',
	hospital_discharge: 'observations',
	measurement: 'measurements',
	lab: 'measurements',
	'blood pressure': 'measurements',
	'blood pressure lying': 'measurements',
	'blood pressure sitting': 'measurements',
	'blood pressure standing': 'measurements',
	'blood pressure standing (1 min)': 'measurements',
	'blood pressure standing (3 mins)': 'measurements',
	bmi: 'measurements',
	'bmi (kg/m2)': 'measurements',
	egfr: 'measurements',
	height: 'measurements',
	'height (inches)': 'measurements',
	weight: 'measurements',
	'weight (lbs)': 'measurements',
	subject_fluid_output: 'measurements',
	procedure: 'procedures',
	device_exposure: 'procedures',
	procedure_occurrence: 'procedures',
	drug_exposure: 'drugs',
	medication: 'drugs',
	infusion_start: 'drugs',
	infusion_end: 'drugs',
	death: 'death',
	meds_death: 'death',
	note: 'notes',
	// Ours: what import-omop calls the rows of visit_occurrence and visit_detail. Without them a text has no visits.
	visit: 'observations',
	visit_detail: 'observations',
};

/**
 * Category of a code that comes without a table, by its beginning. Ours: the released code has no such list, and the
 * mapping of the authors' quickstart makes nearly every row of MIMIC a condition.
 */
const prefixCategories: Readonly<Record<string, Category>> = {
	// MEDS itself
	MEDS_BIRTH: 'demographics',
	MEDS_DEATH: 'death',
	// MIMIC-IV as MEDS, and the simulated cohort
	GENDER: 'demographics',
	RACE: 'demographics',
	ETHNICITY: 'demographics',
	LANGUAGE: 'demographics',
	MARITAL_STATUS: 'demographics',
	INSURANCE: 'demographics',
	DIAGNOSIS: 'conditions',
	DRG: 'conditions',
	ED_REGISTRATION: 'observations',
	ED_OUT: 'observations',
	HOSPITAL_ADMISSION: 'observations',
	HOSPITAL_DISCHARGE: 'observations',
	ICU_ADMISSION: 'observations',
	ICU_DISCHARGE: 'observations',
	TRANSFER_TO: 'observations',
	VISIT: 'observations',
	LAB: 'measurements',
	VITAL: 'measurements',
	SUBJECT_FLUID_OUTPUT: 'measurements',
	SUBJECT_WEIGHT_AT_INFUSION: 'measurements',
	'BLOOD PRESSURE': 'measurements',
	BMI: 'measurements',
	EGFR: 'measurements',
	HEIGHT: 'measurements',
	WEIGHT: 'measurements',
	PROCEDURE: 'procedures',
	HCPCS: 'procedures',
	MEDICATION: 'drugs',
	INFUSION_START: 'drugs',
	INFUSION_END: 'drugs',
	// Vocabularies of OMOP, as `vocabulary/code` (meds_etl) or `vocabulary:code` (the quickstart)
	ICD9: 'conditions',
	ICD9CM: 'conditions',
	ICD10: 'conditions',
	ICD10CM: 'conditions',
	ICD10GM: 'conditions',
	ICDO3: 'conditions',
	// SNOMED holds every kind of concept; conditions are its most frequent use in OMOP. Give the table to be exact.
	SNOMED: 'conditions',
	LOINC: 'measurements',
	ICD9PROC: 'procedures',
	ICD10PCS: 'procedures',
	CPT: 'procedures',
	CPT4: 'procedures',
	OPCS4: 'procedures',
	RXNORM: 'drugs',
	'RXNORM EXTENSION': 'drugs',
	NDC: 'drugs',
	ATC: 'drugs',
	CVX: 'drugs',
	'DEATH TYPE': 'death',
	'CMS PLACE OF SERVICE': 'observations',
	'UB04 PT DIS STATUS': 'observations',
	NOTE: 'notes',
};

/** Additions to the two lists; an entry with the same name replaces ours. Upper and lower case are the same. */
export interface CategoryOverrides {
	readonly tables: Readonly<Record<string, Category>>;
	readonly prefixes: Readonly<Record<string, Category>>;
}

/** Finds the category of a row: by its table when it has one, else by its code. */
export class CategoryMap {
	readonly #lifeCodes: LifeCodes;
	readonly #overrides: ReadonlyMap<string, Category>;
	readonly #tables: ReadonlyMap<string, Category>;
	readonly #prefixes: ReadonlyMap<string, Category>;
	readonly #longest: number;
	readonly #byTable = new Map<string, Category | undefined>();
	readonly #byCode = new Map<string, Category | undefined>();

	constructor(overrides: CategoryOverrides = { tables: {}, prefixes: {} }, lifeCodes = new LifeCodes()) {
		this.#lifeCodes = lifeCodes;
		this.#overrides = folded(overrides.prefixes);
		this.#tables = folded(tableCategories, overrides.tables);
		this.#prefixes = folded(prefixCategories, overrides.prefixes);
		this.#longest = Math.max(...[...this.#prefixes.keys()].map(({ length }) => length));
	}

	/** Undefined for a table that is not listed: its rows are not written, and the caller counts them. */
	ofTable(table: string): Category | undefined {
		if (this.#byTable.has(table)) return this.#byTable.get(table);
		const category = this.#tables.get(table.toLowerCase());
		this.#byTable.set(table, category);
		return category;
	}

	/**
	 * Category of the longest listed prefix that ends where a word of the code ends: `LAB` is a prefix of `LAB//50931`
	 * and not of `LABOUR`. The empty prefix, when listed, takes what is left.
	 */
	ofCode(code: string): Category | undefined {
		const known = this.#byCode.get(code);
		if (known !== undefined || this.#byCode.has(code)) return known;
		const folded = code.toLowerCase();
		const category = this.#overrides.get(folded) ?? this.ofLife(code) ?? this.#longestPrefix(folded);
		this.#byCode.set(code, category);
		return category;
	}

	/** Category of a code that is the birth or the death of the patient. */
	ofLife(code: string): Category | undefined {
		if (this.#lifeCodes.isBirth(code)) return 'demographics';
		return this.#lifeCodes.isDeath(code) ? 'death' : undefined;
	}

	#longestPrefix(code: string): Category | undefined {
		for (let length = Math.min(code.length, this.#longest); length >= 0; length--) {
			const insideWord = length > 0 && length < code.length && isWord(code, length - 1) && isWord(code, length);
			if (insideWord) continue;
			const category = this.#prefixes.get(code.slice(0, length));
			if (category !== undefined) return category;
		}
		return undefined;
	}
}

function folded(...lists: readonly Readonly<Record<string, Category>>[]): Map<string, Category> {
	return new Map(
		lists.flatMap((list) => Object.entries(list).map(([name, category]) => [name.toLowerCase(), category] as const)),
	);
}

function isWord(text: string, index: number): boolean {
	return /[\p{L}\p{N}_]/u.test(text[index]!);
}

/**
 * Unit that MIMIC's MEDS codes carry in their last part, or undefined: `LAB//50931//mg/dL`, `LAB//RESULT//50912//mg/dL`,
 * `SUBJECT_WEIGHT_AT_INFUSION//KG`. UNK and an item number are no units.
 */
export function unitOfCode(code: string): string | undefined {
	const unit = /^(?:(?:LAB|VITAL|SUBJECT_FLUID_OUTPUT)\/\/.+|SUBJECT_WEIGHT_AT_INFUSION)\/\/(.+)$/.exec(code)?.[1];
	return unit === undefined || unit === 'UNK' || /^\d+$/.test(unit) ? undefined : unit;
}
