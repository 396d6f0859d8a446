/** Something is missing on this machine; the message names it and what to do. Exit code 5, as in the command line. */
export class SetupError extends Error {
	/** @override */
	name = 'SetupError';
	code = 'EHR_JEPA_SETUP';
	exitCode = 5;
}

/** Ctrl-C or a termination signal. What was finished is kept; the next run goes on from there. */
export class InterruptedError extends Error {
	/** @override */
	name = 'AbortError';
	code = 'ABORT_ERR';
	exitCode = 130;
}
