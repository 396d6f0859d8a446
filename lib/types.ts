/** Names for units, and the shapes that several rooms share. Imports nothing. */

export type TokenCount = number;
/** Microseconds since 1970-01-01T00:00:00, without time zone (MEDS `timestamp[us]`). BigInt: MEDS times exceed 2^53. */
export type Microseconds = bigint;
/** Calendar days since 1970-01-01. */
export type EpochDay = number;

export const microsecondsPerDay = 86_400_000_000n;

/** MEDS split names. */
export type Split = 'train' | 'tuning' | 'held_out';
export const splits: readonly Split[] = ['train', 'tuning', 'held_out'];

/** One report of a long operation; the command line turns it into a line with rate and ETA. */
export interface Progress {
	/** What is being done, in a few words: `simulate patients`. */
	readonly stage: string;
	readonly done: number;
	/** Absent when it cannot be known beforehand. */
	readonly total?: number;
	/** Plural noun: `patients`, `tokens`, `steps`. */
	readonly unit: string;
	/** Short extra text, such as the current loss. */
	readonly note?: string;
}

/** What every long operation accepts. */
export interface LongOperation {
	/** Stops at the next safe point with an `AbortedError`; what is finished stays resumable. */
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((progress: Progress) => void) | undefined;
	/** Told of problems that do not end the work. */
	readonly onWarning?: ((message: string) => void) | undefined;
}

/** Row of a cohort flow table: what went into a stage and what came out of it, so that nothing is dropped unseen. */
export interface CohortFlowRow {
	readonly stage: string;
	readonly patients: number;
	readonly events?: number | undefined;
	readonly tokens?: number | undefined;
	/** Why rows were dropped at this stage, with counts. */
	readonly note?: string | undefined;
}

/** Stands for "no time" where a time is a number: a static event. */
export const noTime = -(2n ** 63n);

/**
 * One patient of a token store: everything the sampler and the embedder need. Tokens come in runs that became known at one
 * moment: the events of one time (structured tokens), or a line (text).
 */
export interface Timeline {
	readonly subjectId: bigint;
	/** (static,) demographics: kept at the front of every window. */
	readonly staticTokens: Int32Array;
	/** (static runs,) when each run of demographics was known; {@link noTime} for static events. */
	readonly staticTimes: BigInt64Array;
	/** (static runs + 1,) where each run starts in `staticTokens`. */
	readonly staticOffsets: Int32Array;
	/** Day of birth, or null when the record has no birth. Gives the age token of a window. */
	readonly birthDay: EpochDay | null;
	/** (tokens,) the record by days. A time-gap token belongs to the moment that follows the gap. */
	readonly tokens: Int32Array;
	/** (days,) calendar days that hold tokens, strictly ascending. */
	readonly days: Int32Array;
	/** (days + 1,) token index at which each day starts; the last entry is tokens.length. */
	readonly dayOffsets: Int32Array;
	/**
	 * (runs,) microseconds at which the tokens of each run were known. Structured: strictly ascending. Text: in the order of
	 * the lines, which within a day is not that of time.
	 */
	readonly times: BigInt64Array;
	/** (runs + 1,) token index at which each run starts; the last entry is tokens.length. */
	readonly timeOffsets: Int32Array;
	/** (of all runs,) numbers of the patient's events that each run was made of; empty: the numbers themselves, from 0. */
	readonly events: Int32Array;
	/** (runs + 1,) where the events of each run start. */
	readonly eventOffsets: Int32Array;
}

/** Sequences of several patients laid end to end (varlen packing). All indices are rows of the packed axis. */
export interface PackedBatch {
	/** (total_tokens,) */
	readonly tokens: Int32Array;
	/** (sequences + 1,) starts with 0, ends with total_tokens. */
	readonly cuSeqlens: Int32Array;
	/** (total_tokens,) restart at 0 in each sequence. */
	readonly positionIds: Int32Array;
}

/**
 * Latent branches of a packed batch, end to end: each sees the first `cuts` tokens of its sequence and itself, never the
 * clean future. What its rows are follows from `kind`:
 *
 * - `causal`: rows see the context and the rows of their branch up to themselves;
 * - `isolated`: rows see the context and themselves;
 * - `state`: rows do not go through the encoder; predictions start from the state of the last context token;
 * - `views`: `predictorTokens` rows that see the context, then the future as a sequence of its own that sees nothing else.
 *   The last of the former predicts the last of the latter.
 */
export interface LatentBranches {
	/** (branches,) which sequence. */
	readonly sequences: Int32Array;
	/** (branches,) tokens of that sequence it sees. */
	readonly cuts: Int32Array;
	/** (branches + 1,) where the rows of each begin; starts with 0. */
	readonly cuRows: Int32Array;
	/** (rows,); empty for `state`. */
	readonly tokens: Int32Array;
	/** (rows,) as the trunk numbers the same places, from 0 in the second of two views; empty for `state`. */
	readonly positionIds: Int32Array;
	/** (rows,) packed trunk row whose state is predicted here; -1 where none is. */
	readonly targets: Int32Array;
	/** (rows,) whole days from the last context event to the row's place; 0 in `views`. */
	readonly days: Float32Array;
	readonly kind: 'causal' | 'isolated' | 'state' | 'views';
	/** Of `views`; 0 otherwise. */
	readonly predictorTokens: number;
}

/** A packed batch with what the two objectives need. */
export interface TrainingBatch extends PackedBatch {
	/** (sequences,) number of context tokens of each sequence, at least 1; the rest is future. */
	readonly contextLengths: Int32Array;
	readonly branches: LatentBranches;
	/** (sequences,) for error messages. */
	readonly subjectIds: BigInt64Array;
}

/** A place on a timeline where a prediction is made. MEDS: data at or before `predictionTime` may be used. */
export interface IndexDate {
	readonly subjectId: bigint;
	readonly predictionTime: Microseconds;
}
