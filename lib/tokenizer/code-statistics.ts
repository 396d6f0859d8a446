import { BottomSample, type SampledValues, sampleKey } from './bottom-sample.js';

/** Values of one code in one unit. */
export interface UnitValues extends SampledValues {
	readonly code: number;
	/** Index into the names of units; -1 for none. */
	readonly unit: number;
}

/** Statistics as they pass between threads. */
export interface CodeStatisticsData {
	/** (codes,) */
	readonly patients: Int32Array;
	/** For codes of fewer than `minPatients` patients: code, and words of the subject. */
	readonly rare: Int32Array;
	readonly values: readonly UnitValues[];
	readonly events: number;
}

export interface CodeStatisticsOptions {
	readonly codes: number;
	readonly minPatients: number;
	/** Values per code and unit that are kept for quantiles. */
	readonly sampleSize: number;
}

/** What the vocabulary is fitted on: patients and values of each code. Subjects come whole, each once. */
export class CodeStatistics {
	readonly #options: CodeStatisticsOptions;
	readonly #patients: Int32Array;
	/** (codes,) number of the subject who had the code last. */
	readonly #lastSubject: Int32Array;
	readonly #rare = new Map<number, number[]>();
	readonly #samples: (BottomSample | undefined)[];
	readonly #unitSamples = new Map<number, BottomSample>();
	#subject = 0;
	#low = 0;
	#high = 0;
	#valued = 0;
	#events = 0;

	constructor(options: CodeStatisticsOptions) {
		this.#options = options;
		this.#patients = new Int32Array(options.codes);
		this.#lastSubject = new Int32Array(options.codes);
		this.#samples = new Array(options.codes).fill(undefined);
	}

	nextSubject(low: number, high: number): void {
		this.#subject++;
		this.#low = low;
		this.#high = high;
		this.#valued = 0;
	}

	/** An event of the current subject. @param value - NaN for none. */
	add(code: number, value: number, unit: number): void {
		this.#events++;
		if (this.#lastSubject[code] !== this.#subject) {
			this.#lastSubject[code] = this.#subject;
			this.#addSubject(code, this.#low, this.#high);
		}
		if (Number.isNaN(value)) return;
		this.#sample(code, unit).add(sampleKey(this.#low, this.#high, this.#valued++), value);
	}

	#addSubject(code: number, low: number, high: number): void {
		const patients = ++this.#patients[code]!;
		if (patients > this.#options.minPatients) return;
		if (patients === this.#options.minPatients) {
			this.#rare.delete(code);
			return;
		}
		const list = this.#rare.get(code);
		if (list === undefined) this.#rare.set(code, [low, high]);
		else list.push(low, high);
	}

	#sample(code: number, unit: number): BottomSample {
		if (unit < 0) {
			this.#samples[code] ??= new BottomSample(this.#options.sampleSize);
			return this.#samples[code];
		}
		const key = unit * this.#options.codes + code;
		let sample = this.#unitSamples.get(key);
		if (sample === undefined) {
			sample = new BottomSample(this.#options.sampleSize);
			this.#unitSamples.set(key, sample);
		}
		return sample;
	}

	/** Adds the statistics of other subjects. */
	addAll({ patients, rare, values, events }: CodeStatisticsData): void {
		this.#events += events;
		const listed = new Set<number>();
		for (let i = 0; i < rare.length; i += 3) {
			listed.add(rare[i]!);
			this.#addSubject(rare[i]!, rare[i + 1]!, rare[i + 2]!);
		}
		for (const [code, count] of patients.entries()) {
			if (count === 0 || listed.has(code)) continue;
			this.#patients[code]! += count;
			this.#rare.delete(code);
		}
		for (const sampled of values) this.#sample(sampled.code, sampled.unit).addAll(sampled);
	}

	data(): CodeStatisticsData {
		const values: UnitValues[] = [];
		for (const [code, sample] of this.#samples.entries()) {
			if (sample !== undefined) values.push({ code, unit: -1, ...sample.take() });
		}
		for (const [key, sample] of this.#unitSamples) {
			const { codes } = this.#options;
			values.push({ code: key % codes, unit: Math.floor(key / codes), ...sample.take() });
		}
		values.sort((a, b) => a.code - b.code || a.unit - b.unit);
		const rare = Int32Array.from(
			[...this.#rare]
				.sort(([a], [b]) => a - b)
				.flatMap(([code, words]) => pairs(words).flatMap((pair) => [code, ...pair])),
		);
		return { patients: this.#patients, rare, values, events: this.#events };
	}
}

function pairs(words: readonly number[]): [number, number][] {
	return Array.from({ length: words.length / 2 }, (_, i) => [words[2 * i]!, words[2 * i + 1]!]);
}
