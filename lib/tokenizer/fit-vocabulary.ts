import type { LifeCodes } from '../data/life-codes.js';
import { BottomSample } from './bottom-sample.js';
import type { CodeStatisticsData, UnitValues } from './code-statistics.js';
import { ageTokens, gapTokens } from './time-gaps.js';
import { unitSpelling } from './unit-spelling.js';
import { binToken, maskToken, parents, unknownToken, Vocabulary } from './vocabulary.js';

export interface FitOptions {
	/** A code seen in fewer training patients has no token of its own. */
	readonly minPatients: number;
	/** Quantile bins per code. */
	readonly bins: number;
	readonly sampleSize: number;
	/** A birth gives the age, not a token. */
	readonly lifeCodes: LifeCodes;
}

/** What a vocabulary file says about its origin. */
export interface FittedOn {
	readonly name: string;
	readonly etl: { readonly name: string; readonly version: string };
	readonly fingerprint: string;
}

/** Values that are kept in memory for all codes with values together, by each thread: 2^23 are 200 MB. */
const valuesInMemory = 2 ** 23;

/** Values per code that quantiles are taken of: all while memory holds them, else from 1,024 to 16,384 of each code. */
export function quantileSampleSize(codesWithValues: number, values: number): number {
	if (values <= valuesInMemory) return valuesInMemory;
	const power = Math.floor(Math.log2(valuesInMemory / Math.max(1, codesWithValues)));
	return 2 ** Math.min(14, Math.max(10, power));
}

/**
 * Fits the structured vocabulary on the train split: a token per code that at least `minPatients` patients have, a token
 * per group of rarer codes with a common prefix, and quantile cut points per code with values in its usual unit.
 *
 * @param names - Strings by their numbers in the statistics.
 */
export function fitVocabulary(
	statistics: CodeStatisticsData,
	names: { readonly code: readonly string[]; readonly unit: readonly string[] },
	dataset: FittedOn,
	options: FitOptions,
): Vocabulary {
	const { patients } = statistics;
	const { lifeCodes } = options;
	const kept = names.code.filter((code, i) => patients[i]! >= options.minPatients && !lifeCodes.isBirth(code));
	const keptSet = new Set(kept);
	const cuts: Record<string, number[]> = {};
	const units: Record<string, string> = {};
	const spellings = names.unit.map(unitSpelling);
	for (const [code, values] of valuesByCode(statistics.values)) {
		const name = names.code[code]!;
		if (!keptSet.has(name)) continue;
		const usual = usualUnit(values, names.unit, spellings);
		const sample = new BottomSample(options.sampleSize);
		for (const one of values) if (one.unit < 0 || spellings[one.unit] === spellings[usual]) sample.addAll(one);
		cuts[name] = quantiles(sample.take().values, options.bins);
		if (usual >= 0) units[name] = names.unit[usual]!;
	}
	return new Vocabulary({
		format: 'ehr-jepa/vocabulary',
		version: 1,
		dataset: dataset.name,
		etl: dataset.etl,
		dataFingerprint: dataset.fingerprint,
		minPatients: options.minPatients,
		bins: options.bins,
		binRule:
			`quantiles at i/bins (the value at place ceil(n x share), counted from 1) of the training values in the code's usual unit, float32, duplicates removed; ` +
			`of all values up to ${options.sampleSize}, beyond that of the ${options.sampleSize} with the smallest hash of (subject, place); bin = number of cuts <= value`,
		tokens: [
			unknownToken,
			maskToken,
			...ageTokens,
			...gapTokens,
			...Array.from({ length: options.bins }, (_, bin) => binToken(bin)),
			...kept,
			...groupTokens(statistics, names.code, options),
		],
		cuts,
		units,
	});
}

function valuesByCode(values: readonly UnitValues[]): Map<number, UnitValues[]> {
	const result = new Map<number, UnitValues[]>();
	for (const one of values) {
		const list = result.get(one.code);
		if (list === undefined) result.set(one.code, [one]);
		else list.push(one);
	}
	return result;
}

/** The unit of most values whatever its spelling, in its most frequent spelling, of several the first by name; -1 when no value has one. Values without a unit count as being in it. */
function usualUnit(values: readonly UnitValues[], names: readonly string[], spellings: readonly string[]): number {
	const named = values.filter(({ unit }) => unit >= 0);
	const offered = new Map<string, number>();
	for (const { unit, offered: count } of named)
		offered.set(spellings[unit]!, (offered.get(spellings[unit]!) ?? 0) + count);
	const together = ({ unit }: UnitValues) => offered.get(spellings[unit]!)!;
	named.sort(
		(a, b) => together(b) - together(a) || b.offered - a.offered || (names[a.unit]! < names[b.unit]! ? -1 : 1),
	);
	return named[0]?.unit ?? -1;
}

/** Values that occur; a code with few distinct values gets fewer bins. */
function quantiles(values: Float32Array, bins: number): number[] {
	const sorted = values.sort();
	const cuts = Array.from({ length: bins - 1 }, (_, i) => {
		const place = Math.ceil((sorted.length * (i + 1)) / bins);
		return sorted[Math.max(0, place - 1)]!;
	});
	return [...new Set(cuts)];
}

/** Groups of rare codes: each rare code goes to its longest prefix that enough patients share. */
function groupTokens(
	{ rare }: CodeStatisticsData,
	codes: readonly string[],
	{ minPatients, lifeCodes }: FitOptions,
): string[] {
	const subjectsOf = new Map<number, string[]>();
	for (let i = 0; i < rare.length; i += 3) {
		const code = rare[i]!;
		if (lifeCodes.isBirth(codes[code]!)) continue;
		const list = subjectsOf.get(code) ?? [];
		list.push(`${rare[i + 1]} ${rare[i + 2]}`);
		subjectsOf.set(code, list);
	}
	const sharing = new Map<string, Set<string>>();
	for (const [code, subjects] of subjectsOf) {
		for (const parent of parents(codes[code]!)) {
			const set = sharing.get(parent) ?? new Set();
			for (const subject of subjects) set.add(subject);
			sharing.set(parent, set);
		}
	}
	const used = new Set<string>();
	for (const code of subjectsOf.keys()) {
		const parent = parents(codes[code]!).find((candidate) => sharing.get(candidate)!.size >= minPatients);
		if (parent !== undefined) used.add(parent);
	}
	return [...used].sort();
}
