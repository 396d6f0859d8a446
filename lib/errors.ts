/**
 * Every error that this package throws on purpose. The message has one form:
 * `[scope] <argument> <rule> but <value found>; <what to do>`.
 */
export abstract class EhrJepaError extends Error {
	/** Stable identifier for programs; the message is for people and may change. */
	abstract readonly code: string;
	override get name(): string {
		return this.constructor.name;
	}
}

/** An option or a configuration breaks its schema, or two options exclude each other. */
export class ConfigError extends EhrJepaError {
	readonly code = 'EHR_JEPA_CONFIG';
}

/** Where in the user's files a {@link DataError} was found. */
export interface DataErrorContext {
	readonly file: string;
	readonly rule: string;
	readonly column?: string;
	/** The offending value as text. Never patient text; subject ids and codes at most. */
	readonly value?: string;
	/** What the user can do about it. */
	readonly fix?: string;
}

/** Input data break a rule (of MEDS, of the token store ...). Names file, column, rule and value. */
export class DataError extends EhrJepaError {
	readonly code = 'EHR_JEPA_DATA';
	readonly file: string;
	readonly rule: string;
	readonly column: string | undefined;
	readonly value: string | undefined;
	readonly fix: string | undefined;

	constructor(scope: string, context: DataErrorContext, options?: ErrorOptions) {
		const column = context.column === undefined ? '' : ` column ${context.column}`;
		const value = context.value === undefined ? '' : ` but found ${context.value}`;
		const fix = context.fix === undefined ? '' : `; ${context.fix}`;
		super(`[${scope}] ${context.file}:${column} ${context.rule}${value}${fix}`, options);
		this.file = context.file;
		this.rule = context.rule;
		this.column = context.column;
		this.value = context.value;
		this.fix = context.fix;
	}
}

/** A vocabulary and a data set (or a model) do not belong together. */
export class VocabularyError extends EhrJepaError {
	readonly code = 'EHR_JEPA_VOCABULARY';
}

/** Output cannot be written: the folder is not empty, the disk is full, permission is missing. */
export class OutputError extends EhrJepaError {
	readonly code = 'EHR_JEPA_OUTPUT';
}

/** A checkpoint or a weight file is incomplete, damaged, or made by another configuration. */
export class CheckpointError extends EhrJepaError {
	readonly code = 'EHR_JEPA_CHECKPOINT';
}

/** A device that this machine, this build or the engine has not was asked for. */
export class DeviceError extends EhrJepaError {
	readonly code = 'EHR_JEPA_DEVICE';
}

/** A device has less memory than the call needs. The process, the model and the run are as before the call. */
export class OutOfMemoryError extends EhrJepaError {
	readonly code = 'EHR_JEPA_MEMORY';
}

/** The native core refused its arguments or failed. The stack is that of the JavaScript caller. */
export class NativeError extends EhrJepaError {
	readonly code = 'EHR_JEPA_NATIVE';
}

/** Another of the processes that train one model is missing, dead, silent or at odds with this one; the message names it. */
export class RankError extends EhrJepaError {
	readonly code = 'EHR_JEPA_RANKS';
}

/** Something the package needs on this machine is missing; the message lists all of it and the commands that install it. */
export class SetupError extends EhrJepaError {
	readonly code = 'EHR_JEPA_SETUP';
}

/** The caller's `AbortSignal` fired. What was finished before is kept and can be resumed. */
export class AbortedError extends EhrJepaError {
	readonly code = 'ABORT_ERR';
	override get name(): string {
		return 'AbortError';
	}
}

/** An error as it passes between threads, which classes do not. */
export interface ErrorDescription {
	readonly code: string | undefined;
	readonly message: string;
	readonly stack: string | undefined;
	/** What a {@link DataError} names. */
	readonly data?: DataErrorContext;
}

export function describeError(error: unknown): ErrorDescription {
	const { code, message, stack }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
	if (!(error instanceof DataError)) return { code, message, stack };
	return { code, message, stack, data: contextOf(error) };
}

/** What a {@link DataError} names, for one that names more. */
export function contextOf({ file, rule, column, value, fix }: DataError): DataErrorContext {
	return {
		file,
		rule,
		...(column === undefined ? {} : { column }),
		...(value === undefined ? {} : { value }),
		...(fix === undefined ? {} : { fix }),
	};
}

const classes = [
	ConfigError,
	VocabularyError,
	OutputError,
	CheckpointError,
	NativeError,
	RankError,
	SetupError,
	AbortedError,
];

/** The error that another thread described: of the same class, with the same message. */
export function restoreError({ code, message, stack, data }: ErrorDescription): Error {
	const cause = new Error(message);
	if (stack !== undefined) cause.stack = stack;
	if (data !== undefined) return Object.assign(new DataError('', data, { cause }), { message });
	for (const Class of classes) {
		const error = new Class(message, { cause });
		if (error.code === code) return error;
	}
	return code === undefined ? cause : Object.assign(cause, { code });
}
