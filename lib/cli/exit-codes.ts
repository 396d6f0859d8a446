import {
	AbortedError,
	CheckpointError,
	ConfigError,
	DataError,
	DeviceError,
	NativeError,
	OutOfMemoryError,
	OutputError,
	RankError,
	SetupError,
	VocabularyError,
} from '../errors.js';

/** Exit codes of the command line, listed in docs/cli.md. */
export const exitCodes = {
	ok: 0,
	internal: 1,
	usage: 2,
	data: 3,
	output: 4,
	setup: 5,
	checkpoint: 6,
	native: 7,
	ranks: 8,
	aborted: 130,
} as const;

export function exitCodeOf(error: unknown): number {
	if (error instanceof ConfigError) return exitCodes.usage;
	if (error instanceof DataError || error instanceof VocabularyError) return exitCodes.data;
	if (error instanceof OutputError) return exitCodes.output;
	if (error instanceof SetupError || error instanceof DeviceError) return exitCodes.setup;
	if (error instanceof CheckpointError) return exitCodes.checkpoint;
	if (error instanceof NativeError || error instanceof OutOfMemoryError) return exitCodes.native;
	if (error instanceof RankError) return exitCodes.ranks;
	if (error instanceof AbortedError) return exitCodes.aborted;
	return exitCodes.internal;
}
