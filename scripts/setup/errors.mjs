/** Something is missing on this machine; the message names it and what to do. Exit code 5, as in the command line. */
export class SetupError extends Error {
	name = 'SetupError';
	code = 'EHR_JEPA_SETUP';
	exitCode = 5;
}
