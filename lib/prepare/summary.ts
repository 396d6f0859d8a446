import type { LifeCodes } from '../data/life-codes.js';
import type { SplitCounts, StoreManifest } from '../store/manifest.js';
import type { IndexColumns } from '../store/store-index.js';
import type { Vocabulary } from '../tokenizer/vocabulary.js';
import type { CodeCounts } from './structured-builder.js';

/** Rows of the lists that could grow with the data. */
const listed = 50;

export function splitCounts({ tokens, days }: IndexColumns, events: number): SplitCounts {
	const lengths = tokens.slice().sort();
	const at = (share: number) => lengths[Math.round(share * (lengths.length - 1))] ?? 0;
	return {
		patients: tokens.length,
		trainable: days.reduce((count, each) => count + Number(each >= 2), 0),
		events,
		tokens: tokens.reduce((sum, count) => sum + count, 0),
		days: days.reduce((sum, count) => sum + count, 0),
		lengthPercentiles: {
			p0: at(0),
			p25: at(0.25),
			p50: at(0.5),
			p75: at(0.75),
			p90: at(0.9),
			p99: at(0.99),
			p100: at(1),
		},
	};
}

/** The codes with most events. */
export function topCodes(codes: readonly string[], events: Float64Array): StoreManifest['topCodes'] {
	return [...events.entries()]
		.filter(([, count]) => count > 0)
		.sort(([a, m], [b, n]) => n - m || a - b)
		.slice(0, listed)
		.map(([code, count]) => ({ code: codes[code]!, events: count }));
}

/** The largest counts of a list, as an object. */
export function topCounts(counts: ReadonlyMap<string, number>): Record<string, number> {
	const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
	return Object.fromEntries(sorted.slice(0, listed));
}

type Coverage = Extract<StoreManifest['coverage'], { readonly kind: 'structured' }>;

export function structuredCoverage(
	vocabulary: Vocabulary,
	codes: readonly string[],
	counts: CodeCounts,
	textOnly: number,
	lifeCodes: LifeCodes,
): Coverage {
	const total: Coverage = {
		kind: 'structured',
		events: sum(counts.events),
		known: 0,
		backed_off: 0,
		unknown: 0,
		births: 0,
		valuesBinned: sum(counts.binned),
		valuesWithoutBin: sum(counts.withoutBin),
		valuesInOtherUnit: sum(counts.otherUnit),
		textOnly,
	};
	for (const [place, code] of codes.entries()) {
		if (lifeCodes.isBirth(code)) total.births += counts.events[place]!;
		else total[vocabulary.codeToken(code).match] += counts.events[place]!;
	}
	return total;
}

/** First part of a code: the table it came from, in most ETLs. */
function prefixOf(code: string): string {
	return code.split('//', 1)[0]!.slice(0, 64);
}

/**
 * Events by the first part of their codes.
 *
 * @param vocabulary - Of a structured store, with what became of its values: adds how many codes and values it knows.
 */
export function prefixRows(
	codes: readonly string[],
	events: Float64Array,
	structured?: { readonly vocabulary: Vocabulary; readonly lifeCodes: LifeCodes; readonly counts?: CodeCounts },
): StoreManifest['prefixes'] {
	const rows = new Map<string, StoreManifest['prefixes'][number]>();
	for (const [place, code] of codes.entries()) {
		const n = events[place]!;
		if (n === 0) continue;
		const prefix = prefixOf(code);
		let row = rows.get(prefix);
		if (row === undefined) {
			const outcomes = { known: 0, backed_off: 0, unknown: 0, values: 0, binned: 0 };
			row = { prefix, codes: 0, events: 0, ...(structured === undefined ? {} : outcomes) };
			rows.set(prefix, row);
		}
		row.codes++;
		row.events += n;
		if (structured === undefined || structured.lifeCodes.isBirth(code)) continue;
		row[structured.vocabulary.codeToken(code).match]! += n;
		const { counts } = structured;
		if (counts === undefined) continue;
		row.binned! += counts.binned[place]!;
		row.values! += counts.binned[place]! + counts.withoutBin[place]! + counts.otherUnit[place]!;
	}
	return [...rows.values()].sort((a, b) => b.events - a.events || (a.prefix < b.prefix ? -1 : 1)).slice(0, listed);
}

export function sum(counts: Iterable<number>): number {
	let total = 0;
	for (const count of counts) total += count;
	return total;
}
