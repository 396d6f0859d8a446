import { z } from 'zod';
import { positiveInteger } from '../../config.js';

/** What is read during training to see whether the run learns the patient's state. */
export const InstrumentOptions = z.strictObject({
	/** Readings over the run, beside one before its first step. */
	readings: positiveInteger.max(1000).default(4),
	/** Most tokens of a reading's windows; the same ones every time. */
	tokens: positiveInteger.default(65_536),
	/** Most of the training's time, reckoned with a step as three forward passes over its tokens. */
	share: z.number().gt(0).max(1).default(0.02),
});
export type InstrumentOptions = z.infer<typeof InstrumentOptions>;

/** What of a run's configuration decides the size of its instruments. */
interface RunSize {
	readonly instruments: InstrumentOptions | null;
	readonly steps: number;
	readonly contextTokens: number;
	readonly futureTokens: number;
	readonly tokensPerStep: number;
	readonly microBatches: number;
}

/** Fewer windows than this say nothing. */
const fewestWindows = 16;

/** Tokens of one reading: 0 where instruments are off, or the run is so short that they would slow it. */
export function readingTokens(run: RunSize): number {
	if (run.instruments === null) return 0;
	const { readings, tokens, share } = run.instruments;
	const forwardTokens = 3 * run.steps * run.tokensPerStep * run.microBatches;
	const affordable = Math.min(tokens, Math.floor((share * forwardTokens) / (readings + 1)));
	return affordable < fewestWindows * (run.contextTokens + run.futureTokens) ? 0 : affordable;
}

/** Whether a reading is due after an update. @param last - Updates that the run makes in all. */
export function isReadingDue({ instruments, steps }: RunSize, step: number, last: number): boolean {
	if (instruments === null) return false;
	return step === last || step % Math.ceil(steps / instruments.readings) === 0;
}
