import { ConfigError } from '../errors.js';
import type { EncoderChoice, WorldModel } from '../model/world-model.js';
import type { Objective } from '../objective/objective.js';
import type { WorkDivision } from '../ranks/work-division.js';
import { type TimelineStore, timelineOf } from '../sample/index-windows.js';
import { newestDayAt } from '../sample/window.js';
import type { IndexDateRow } from '../tasks/read.js';
import { sampleKey } from '../tasks/read.js';
import { dayOf } from '../text/calendar.js';
import { type EpochDay, type IndexDate, type LongOperation, microsecondsPerDay, splits } from '../types.js';
import { embed } from './embeddings.js';
import { latentHorizons } from './latent-state.js';

/** Days after the index date at which a state is predicted. */
export const rolloutHorizons: readonly number[] = latentHorizons.filter((days) => days > 0);

/** What the record holds at a horizon, where it holds something new. */
export interface RecordedState {
	/** (columns,) the target encoder's normalised state at the last event up to the horizon. */
	readonly state: Float32Array;
	/** (columns,) the prediction for the day of that event, as training asks for it. */
	readonly predicted: Float32Array;
}

export interface RolloutSample {
	readonly sample: IndexDate;
	/** (columns,) the target encoder's normalised state at the index date. */
	readonly now: Float32Array;
	readonly ahead: readonly {
		readonly horizonDays: number;
		/** (columns,) */
		readonly predicted: Float32Array;
		/** Null when nothing was recorded between index date and horizon. */
		readonly record: RecordedState | null;
	}[];
}

export interface RolloutTable {
	readonly columns: number;
	readonly samples: readonly RolloutSample[];
}

export interface RolloutOptions extends LongOperation {
	/** Tokens of history before the index date: those of training. */
	readonly contextTokens: number;
	readonly tokensPerBatch?: number | undefined;
	/** Whose states training predicts: `target_encoder`, or `encoder` for an online target. */
	readonly target?: EncoderChoice | undefined;
	/** As of `embed`. */
	readonly division?: WorkDivision | undefined;
}

/**
 * Whose states a run predicts.
 *
 * @throws {ConfigError} When its targets are means over several blocks, which no encoder's last state is.
 */
export function rolloutTarget({ latent }: Objective): { readonly target: EncoderChoice } {
	const target = latent?.target;
	if (target !== undefined && 'layers' in target && target.layers > 1) {
		throw new ConfigError(
			`[rollout] target.layers must be 1, so that predicted states are states of an encoder, but is ${target.layers}`,
		);
	}
	return { target: target?.kind === 'online' ? 'encoder' : 'target_encoder' };
}

/**
 * Predicted target states after each index date, beside those that the record leads to. S(t) is the encoder's state at the
 * newest token; time counts from its event. Index dates before every event are left out.
 *
 * @throws {ConfigError} When the model's predictor does not map (state, time ahead).
 * @throws {AbortedError} {NativeError}
 */
export async function rollout(
	model: WorldModel,
	store: TimelineStore,
	indexDates: readonly IndexDateRow[],
	options: RolloutOptions,
): Promise<RolloutTable> {
	if (!model.predictsFromState) {
		throw new ConfigError(
			'[rollout] the run must predict from the state but its predictor needs branch rows; train with "branch": {"kind": "state"} (objective preset rollout, --objective rollout)',
		);
	}
	const columns = model.hiddenSize;
	const { contextTokens, tokensPerBatch, target = 'target_encoder', signal, onProgress, division } = options;
	const total = 2 + rolloutHorizons.length;
	let done = 0;
	const states = async (dates: readonly IndexDate[], encoder: EncoderChoice) => {
		const budget = { contextTokens, tokensPerBatch };
		const table = await embed(model, store, dates, { ...budget, encoder, pooling: 'last', signal, division });
		onProgress?.({ stage: 'rollout', done: ++done, total, unit: 'passes' });
		return new Map(
			table.samples.map((sample, row) => [
				sampleKey(sample),
				table.values.subarray(row * columns, (row + 1) * columns),
			]),
		);
	};
	const start = await states(indexDates, 'encoder');
	const present = await states(indexDates, target);
	const lastEvents = await lastEventDays(store, indexDates);
	const samples: (RolloutSample & { ahead: RolloutSample['ahead'][number][] })[] = [];
	const from: Float32Array[] = [];
	for (const sample of indexDates) {
		const key = sampleKey(sample);
		if (!start.has(key) || lastEvents.get(key) === undefined) continue;
		samples.push({ sample, now: normalised(present.get(key)!), ahead: [] });
		from.push(start.get(key)!);
	}
	for (const horizonDays of rolloutHorizons) {
		const later = (sample: IndexDate): IndexDate => ({
			...sample,
			predictionTime: sample.predictionTime + BigInt(horizonDays) * microsecondsPerDay,
		});
		const dates = samples.map(({ sample }) => later(sample));
		const reached = await states(dates, target);
		const reachedDays = await lastEventDays(store, dates);
		const last = (sample: IndexDate) => lastEvents.get(sampleKey(sample))!;
		const asked = samples.map(({ sample }) => dayOf(sample.predictionTime) - last(sample) + horizonDays);
		const recorded = samples.map(({ sample }) => reachedDays.get(sampleKey(later(sample)))! - last(sample));
		const predicted = await predictEach(model, from, asked, signal);
		const atRecord = await predictEach(model, from, recorded, signal);
		for (const [i, { sample, ahead }] of samples.entries()) {
			const state = reached.get(sampleKey(later(sample)));
			const record =
				recorded[i]! > 0 && state !== undefined ? { state: normalised(state), predicted: atRecord[i]! } : null;
			ahead.push({ horizonDays, predicted: predicted[i]!, record });
		}
	}
	return { columns, samples };
}

async function predictEach(
	model: WorldModel,
	states: readonly Float32Array[],
	days: readonly number[],
	signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
	const columns = model.hiddenSize;
	const flat = new Float32Array(states.length * columns);
	for (const [i, state] of states.entries()) flat.set(state, i * columns);
	const values = await model.predictLatent(flat, Float32Array.from(days), { signal });
	return states.map((_, i) => values.subarray(i * columns, (i + 1) * columns));
}

/** Calendar day of the last event at or before each index date, by sample; absent where there is none. */
async function lastEventDays(store: TimelineStore, dates: readonly IndexDate[]): Promise<Map<string, EpochDay>> {
	const result = new Map<string, EpochDay>();
	for (const date of dates) {
		const timeline = await timelineOf(splits.map(store.split), date.subjectId);
		const day = timeline === undefined ? undefined : newestDayAt(timeline, date.predictionTime);
		if (day !== undefined) result.set(sampleKey(date), day);
	}
	return result;
}

/** Layer norm without affine, as the targets of training have it. @internal */
export function normalised(state: Float32Array): Float32Array {
	const mean = state.reduce((sum, value) => sum + value, 0) / state.length;
	const variance = state.reduce((sum, value) => sum + (value - mean) ** 2, 0) / state.length;
	const scale = 1 / Math.sqrt(variance + 1e-5);
	return state.map((value) => (value - mean) * scale);
}
