import { nativeAddon, nativeCall } from '../../native.js';
import { readTrueStates } from '../../store/true-states.js';
import type { EpochDay } from '../../types.js';
import { valueSummaries } from './value-summary.js';
import type { ValueReader } from './values.js';
import type { InstrumentWindow } from './windows.js';

const l2Grid = Float64Array.of(1e-3, 1e-2, 1e-1, 1, 10);
const folds = 5;
/** Below this many patients a probe says nothing. */
const fewestPatients = 20;
/** Days of a window's future at whose ends the state is read, beside the end of its context. */
const futureDaysRead = 4;

/** Place in a window at which a state is read: after its first `tokens`. */
interface ReadPlace {
	readonly window: number;
	readonly tokens: number;
	readonly day: EpochDay;
}

/** How well a linear probe finds the simulator's true state in the encoder's, all axes weighted by their variance. */
export interface StateReading {
	readonly patients: number;
	readonly samples: number;
	/** R² by how the tokens up to a day's end become one state. */
	readonly mean: number;
	readonly last: number;
	/** R² of the same probe on the mean and last value of each test among the same tokens; absent for tokens of text. */
	readonly values?: number;
}

/**
 * R² of the true state at the ends of days of a few windows, by ridge regression: cross-validated over patients, so that each
 * is predicted by a probe fitted on others. The strength is chosen on the other folds, too. Small sets read low: what counts is
 * how the number moves.
 */
export class StateProbe {
	readonly #places: readonly ReadPlace[];
	/** (places x axes) */
	readonly #truth: Float32Array;
	readonly #axes: number;
	readonly #width: number;
	/** (places x width) each. */
	readonly #features: { readonly mean: Float32Array; readonly last: Float32Array };
	#values: number | undefined;

	private constructor(places: readonly ReadPlace[], truth: Float32Array, axes: number, width: number) {
		this.#places = places;
		this.#truth = truth;
		this.#axes = axes;
		this.#width = width;
		const size = places.length * width;
		this.#features = { mean: new Float32Array(size), last: new Float32Array(size) };
	}

	/**
	 * @param store - Folder of the token store.
	 * @param width - Hidden size.
	 * @param reader - Of the values among the tokens; absent for text.
	 * @returns Undefined where nobody knows the state, or of too few patients.
	 */
	static async open(
		store: string,
		windows: readonly InstrumentWindow[],
		width: number,
		reader: ValueReader | undefined,
	): Promise<StateProbe | undefined> {
		const places = windows.flatMap(placesOf);
		const found = await readTrueStates(
			store,
			places.map(({ window, day }) => ({ subjectId: windows[window]!.subjectId, day })),
		);
		if (found === undefined) return undefined;
		const known = places.flatMap((place, i) => {
			const state = found.states[i];
			return state === undefined ? [] : [{ place, state }];
		});
		if (new Set(known.map(({ place }) => place.window)).size < fewestPatients) return undefined;
		const axes = found.axes.length;
		const truth = new Float32Array(known.length * axes);
		for (const [row, { state }] of known.entries()) truth.set(state, row * axes);
		const read = known.map(({ place }) => place);
		const probe = new StateProbe(read, truth, axes, width);
		if (reader !== undefined) {
			const summaries = valueSummaries(reader, windows, read);
			probe.#values = await probe.#rSquared(summaries.features, summaries.width);
		}
		return probe;
	}

	/** Takes the states of one window. @param hidden - (tokens x width) after the final norm. */
	add(window: number, hidden: Float32Array): void {
		const width = this.#width;
		const sum = new Float64Array(width);
		let token = 0;
		for (const [row, place] of this.#places.entries()) {
			if (place.window !== window) continue;
			for (; token < place.tokens; token++) {
				for (let i = 0; i < width; i++) sum[i]! += hidden[token * width + i]!;
			}
			for (let i = 0; i < width; i++) this.#features.mean[row * width + i] = sum[i]! / token;
			const last = hidden.subarray((token - 1) * width, token * width);
			this.#features.last.set(last, row * width);
		}
	}

	/** Fits and reads what was added last. @throws {NativeError} */
	async read(): Promise<StateReading> {
		return {
			patients: new Set(this.#places.map(({ window }) => window)).size,
			samples: this.#places.length,
			mean: await this.#rSquared(this.#features.mean, this.#width),
			last: await this.#rSquared(this.#features.last, this.#width),
			...(this.#values === undefined ? {} : { values: this.#values }),
		};
	}

	async #rSquared(features: Float32Array, width: number): Promise<number> {
		const [rows, axes, penalties] = [this.#places.length, this.#axes, l2Grid.length];
		const foldOf = this.#places.map(({ window }) => window % folds);
		// (penalties x folds) squared errors of each fold, predicted by the others.
		const errors = new Float64Array(penalties * folds);
		for (let fold = 0; fold < folds; fold++) {
			const inside = (row: number) => foldOf[row] === fold;
			const fitted = [...Array(rows).keys()].filter((row) => !inside(row));
			const { inputs, apply } = standardised(features, width, fitted);
			const { weights } = await nativeCall(() =>
				nativeAddon().fitRidge({
					features: inputs,
					rows: fitted.length,
					columns: width,
					targets: Float32Array.from(fitted.flatMap((row) => [...this.#truth.subarray(row * axes, (row + 1) * axes)])),
					outputs: axes,
					l2: l2Grid,
				}),
			);
			for (let row = 0; row < rows; row++) {
				if (!inside(row)) continue;
				const input = apply(row);
				for (let penalty = 0; penalty < penalties; penalty++) {
					for (let axis = 0; axis < axes; axis++) {
						const start = (penalty * axes + axis) * (width + 1);
						let predicted = weights[start + width]!;
						for (let i = 0; i < width; i++) predicted += weights[start + i]! * input[i]!;
						errors[penalty * folds + fold]! += (predicted - this.#truth[row * axes + axis]!) ** 2;
					}
				}
			}
		}
		return 1 - chosenErrors(errors) / totalSquares(this.#truth, axes);
	}
}

function placesOf(
	{ contextLength, contextDate, futureDays, futureDates }: InstrumentWindow,
	window: number,
): ReadPlace[] {
	const days = futureDates.length;
	const read = Math.min(futureDaysRead, days);
	const future = Array.from({ length: read }, (_, i) => Math.floor(((i + 1) * days) / read) - 1);
	return [
		{ window, tokens: contextLength, day: contextDate },
		...future.map((day) => ({ window, tokens: futureDays[day + 1]!, day: futureDates[day]! })),
	];
}

/** Each fold's errors under the strength that is best on the others. */
function chosenErrors(errors: Float64Array): number {
	let sum = 0;
	for (let fold = 0; fold < folds; fold++) {
		let [best, least] = [0, Number.POSITIVE_INFINITY];
		for (let penalty = 0; penalty < l2Grid.length; penalty++) {
			let others = 0;
			for (let other = 0; other < folds; other++) if (other !== fold) others += errors[penalty * folds + other]!;
			if (others < least) [best, least] = [penalty, others];
		}
		sum += errors[best * folds + fold]!;
	}
	return sum;
}

function totalSquares(truth: Float32Array, axes: number): number {
	const rows = truth.length / axes;
	let sum = 0;
	for (let axis = 0; axis < axes; axis++) {
		let mean = 0;
		for (let row = 0; row < rows; row++) mean += truth[row * axes + axis]! / rows;
		for (let row = 0; row < rows; row++) sum += (truth[row * axes + axis]! - mean) ** 2;
	}
	return sum;
}

/** Columns with mean 0 and variance 1 over the rows that a probe is fitted on; a constant one is 0. */
function standardised(features: Float32Array, width: number, fitted: readonly number[]) {
	const mean = new Float64Array(width);
	const scale = new Float64Array(width);
	for (const row of fitted) for (let i = 0; i < width; i++) mean[i]! += features[row * width + i]! / fitted.length;
	for (const row of fitted)
		for (let i = 0; i < width; i++) scale[i]! += (features[row * width + i]! - mean[i]!) ** 2 / fitted.length;
	for (let i = 0; i < width; i++) scale[i] = scale[i]! > 1e-12 ? 1 / Math.sqrt(scale[i]!) : 0;
	const apply = (row: number) =>
		Float32Array.from({ length: width }, (_, i) => (features[row * width + i]! - mean[i]!) * scale[i]!);
	const inputs = new Float32Array(fitted.length * width);
	for (const [i, row] of fitted.entries()) inputs.set(apply(row), i * width);
	return { inputs, apply };
}
