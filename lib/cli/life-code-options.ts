import type { Argv } from 'yargs';
import type { LifeCodeOptions } from '../data/life-codes.js';

/** Adds the flags that name the codes of birth and death of a data set. */
export function withLifeCodes<T>(yargs: Argv<T>) {
	return yargs
		.option('birth-code', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'Code of the birth beside the usual ones (MEDS_BIRTH, DOB, SNOMED/3950001 ...)',
		})
		.option('death-code', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'Code of the death beside the usual ones (MEDS_DEATH, SNOMED/419620001 ...)',
		});
}

export function lifeCodesOf(args: { readonly birthCode: string[]; readonly deathCode: string[] }): LifeCodeOptions {
	return { birth: args.birthCode, death: args.deathCode };
}
