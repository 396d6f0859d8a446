import { InterruptedError, SetupError } from './errors.mjs';
import { fileError } from './file-errors.mjs';

/** Prints a failure for people, without a stack when it is one of ours, and sets the exit code. @param {unknown} thrown */
export function reportFailure(thrown) {
	const error = fileError(thrown);
	const known = error instanceof SetupError || error instanceof InterruptedError;
	console.error(known ? `${error.name} (${error.code}): ${error.message}` : error);
	process.exitCode = known ? error.exitCode : 1;
}
