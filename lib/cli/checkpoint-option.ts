import { ConfigError } from '../errors.js';

/** `--checkpoint` of commands that read the weights of a run. */
export const checkpointOption = {
	type: 'number',
	describe: 'Step of an older checkpoint of the run; default: the newest',
} as const;

/** @throws {ConfigError} For what is no step. */
export function checkpointOf(command: string, step: number | undefined): number | undefined {
	if (step === undefined || (Number.isSafeInteger(step) && step >= 1)) return step;
	throw new ConfigError(
		`[${command}] --checkpoint must be the step of a checkpoint, a whole number from 1, but is ${step}`,
	);
}
