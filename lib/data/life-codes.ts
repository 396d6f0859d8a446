import { z } from 'zod';
import { identifier, quoted } from './query.js';

/** Codes of birth and death that a data set has beside the usual ones. */
export const LifeCodeOptions = z.strictObject({
	birth: z.array(z.string().min(1)).default([]),
	death: z.array(z.string().min(1)).default([]),
});
export type LifeCodeOptions = z.input<typeof LifeCodeOptions>;

type LifeEvent = 'birth' | 'death';

/** Codes of MEDS itself; a suffix after `//` is allowed (`MEDS_DEATH//in hospital`). */
export const standardLifeCodes: Readonly<Record<LifeEvent, string>> = { birth: 'MEDS_BIRTH', death: 'MEDS_DEATH' };

/**
 * Other codes that mean birth or death of the patient and nothing else, in upper case; SNOMED's separator may be any of
 * `/`, `//` and `:`. The two SNOMED dates were the standard codes before MEDS 0.3, `Death Type` is what OMOP's own ETLs write.
 */
const usualCodes: Readonly<Record<LifeEvent, readonly string[]>> = {
	birth: [
		'DOB',
		'BIRTH',
		'BIRTH_DATE',
		'BIRTHDATE',
		'BIRTH DATE',
		'DATE_OF_BIRTH',
		'DATE OF BIRTH',
		'SNOMED/3950001',
		'SNOMED/184099003',
		'LOINC/21112-8',
	],
	death: [
		'DOD',
		'DEATH',
		'DEATH_DATE',
		'DEATHDATE',
		'DEATH DATE',
		'DATE_OF_DEATH',
		'DATE OF DEATH',
		'SNOMED/419620001',
		'SNOMED/399753006',
		'SNOMED/419099009',
		'LOINC/81956-5',
		'DEATH TYPE/OMOP GENERATED',
	],
};

/** Which codes of a data set are the birth and the death of a patient: asked wherever either matters. */
export class LifeCodes {
	readonly given: z.output<typeof LifeCodeOptions>;

	/** @param given - Codes of this data set, exactly as they are written in it. */
	constructor(given: LifeCodeOptions = {}) {
		this.given = LifeCodeOptions.parse(given);
	}

	isBirth(code: string): boolean {
		return this.#is('birth', code);
	}

	isDeath(code: string): boolean {
		return this.#is('death', code);
	}

	/** SQL condition that is true for codes of a birth. */
	birthSql(column = 'code'): string {
		return this.#sql('birth', column);
	}

	/** SQL condition that is true for codes of a death. */
	deathSql(column = 'code'): string {
		return this.#sql('death', column);
	}

	#is(event: LifeEvent, code: string): boolean {
		const standard = standardLifeCodes[event];
		return (
			code === standard ||
			code.startsWith(`${standard}//`) ||
			usual[event].has(code.toUpperCase()) ||
			this.given[event].includes(code)
		);
	}

	#sql(event: LifeEvent, column: string): string {
		const name = identifier(column);
		const standard = standardLifeCodes[event];
		const usualList = [...usual[event]].map(quoted).join(', ');
		const given = this.given[event].length === 0 ? '' : ` OR ${name} IN (${this.given[event].map(quoted).join(', ')})`;
		return `(${name} = ${quoted(standard)} OR starts_with(${name}, ${quoted(`${standard}//`)}) OR upper(${name}) IN (${usualList})${given})`;
	}
}

const usual: Readonly<Record<LifeEvent, ReadonlySet<string>>> = {
	birth: new Set(usualCodes.birth.flatMap(spellings)),
	death: new Set(usualCodes.death.flatMap(spellings)),
};

/** ETLs join a vocabulary and its code by one of three separators. */
function spellings(code: string): string[] {
	return code.includes('/') ? ['/', '//', ':'].map((separator) => code.replace('/', separator)) : [code];
}
