import type { FollowUp } from './follow-up.js';

/** Below this many patients of a kind, resamples hardly differ: a narrow interval would be an illusion. */
const minPatients = 5;

/** Why samples cannot carry a concordance; undefined when they can. @param patients - (samples,) */
export function tooFewEvents(patients: readonly bigint[], { events }: FollowUp): string | undefined {
	if (patients.length === 0) return 'no samples in held-out';
	const found = patientsWhere(patients, (i) => events[i] === 1);
	if (found === 0) return 'no events in held-out';
	return found < minPatients ? `${counted(found)} with an event, at least ${minPatients} are needed` : undefined;
}

/** Why samples cannot carry an AUROC at a horizon; undefined when they can. */
export function tooFewAt(patients: readonly bigint[], { days, events }: FollowUp, horizon: number): string | undefined {
	const early = patientsWhere(patients, (i) => events[i] === 1 && days[i]! <= horizon);
	if (early === 0) return `no events up to ${horizon} days`;
	if (early < minPatients)
		return `${counted(early)} with an event up to ${horizon} days, at least ${minPatients} are needed`;
	const beyond = patientsWhere(patients, (i) => days[i]! > horizon);
	if (beyond === 0) return `no sample is followed beyond ${horizon} days`;
	if (beyond < minPatients)
		return `${counted(beyond)} followed beyond ${horizon} days, at least ${minPatients} are needed`;
	return undefined;
}

function patientsWhere(patients: readonly bigint[], is: (sample: number) => boolean): number {
	return new Set(patients.filter((_, i) => is(i))).size;
}

function counted(patients: number): string {
	return `${patients} held-out patient${patients === 1 ? '' : 's'}`;
}
