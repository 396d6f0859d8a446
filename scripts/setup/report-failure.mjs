/** Prints a set-up failure for people and sets the exit code. @param {unknown} error */
export function reportFailure(error) {
	const known = error !== null && typeof error === 'object' && 'exitCode' in error;
	console.error(known ? `${error.name} (${error.code}): ${error.message}` : error);
	process.exitCode = known ? error.exitCode : 1;
}
