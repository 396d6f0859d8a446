import type { CodeSet } from './code-set.js';

/**
 * What the usual ETLs to MEDS call the ends of a stay, a visit and a diagnosis: MIMIC-IV's, eICU's and the simulated cohort's
 * names, and the codes that an OMOP import writes.
 */
export const usualCodes = {
	visit: {
		exact: ['ED_REGISTRATION', 'HOSPITAL_ADMISSION', 'VISIT', 'ENCOUNTER'],
		prefix: ['ED_REGISTRATION//', 'HOSPITAL_ADMISSION//', 'VISIT//', 'ENCOUNTER//', 'Visit/', 'visit/'],
	},
	admission: {
		exact: ['HOSPITAL_ADMISSION'],
		prefix: ['HOSPITAL_ADMISSION//', 'Visit/IP', 'Visit/ERIP'],
	},
	discharge: {
		exact: ['HOSPITAL_DISCHARGE'],
		prefix: ['HOSPITAL_DISCHARGE//', 'discharge/'],
	},
	diagnosis: {
		exact: [],
		prefix: ['DIAGNOSIS//', 'ICD10CM/', 'ICD9CM/', 'ICD10/', 'ICD10CM//', 'ICD9CM//', 'condition/'],
	},
} as const satisfies Readonly<
	Record<string, { readonly exact: readonly string[]; readonly prefix: readonly string[] }>
>;

/** A set of them that may be changed. */
export function usualCodeSet(name: keyof typeof usualCodes): CodeSet {
	const { exact, prefix } = usualCodes[name];
	return { exact: [...exact], prefix: [...prefix] };
}
