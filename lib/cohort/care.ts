import { diseaseAxes, type Readout } from './disease-axes.js';

/** Chances of what doctors find and do, given the true state: what the simulator draws from and the filter weighs with. */

/** A stage that is new is found with one chance; a disease that is known is coded again with the other. */
export const diagnosing = { visit: { found: 0.85, repeated: 0.3 }, stay: { found: 0.95, repeated: 0.6 } } as const;

/** Highest stage whose threshold a severity has crossed; 0 for none. */
export function stageOf(axis: number, severity: number): number {
	const { stages } = diseaseAxes[axis]!;
	let stage = 0;
	while (stage < stages.length && severity > stages[stage]!.threshold) stage++;
	return stage;
}

/** That a drug is started, once there is a diagnosis. @param diagnosed - Stage, from 1. */
export function startChance(diagnosed: number): number {
	return 0.25 + 0.2 * diagnosed;
}

/** That a drug is stopped. */
export function stopChance(severity: number): number {
	return severity < 0.2 ? 0.3 : 0.04;
}

export const longestStay = 21;
/** Mean of the Poisson number of nights after the first, of which at most {@link longestStay} are stayed. @param worst - Highest severity. */
export function meanNights(worst: number): number {
	return 1.2 + 1.3 * Math.max(0, worst);
}

export function intensiveCareChance(worst: number): number {
	return 0.06 + 0.1 * Math.max(0, worst - 1);
}

/** That a patient is discharged to a facility. */
export function facilityChance(worst: number): number {
	return worst > 2 ? 0.4 : 0;
}

/** An acute illness pushes the read-outs beyond what the chronic state explains, for the first days. */
export function exaggerationOf(night: number): number {
	return 1 + 0.3 * Math.exp(-night / 2);
}

/** Of a read-out before its noise, on the log scale where it has one. */
export function readoutMean({ base, gain }: Readout, exaggeration: number, severity: number): number {
	return base + gain * exaggeration * severity;
}
