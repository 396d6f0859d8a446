import type { PairedDifference } from '../evaluate/evaluation-file.js';
import { shownSign } from './forest-chart.js';
import type { ReportData } from './report-data.js';

/** All differences of one pair of models. */
export interface Comparison {
	readonly a: string;
	readonly b: string;
	/** Two trained encoders; the others are against a baseline. */
	readonly encoders: boolean;
	readonly rows: readonly PairedDifference[];
}

export interface Verdict {
	readonly total: number;
	readonly better: number;
	readonly worse: number;
	/** Defined, but the interval holds 0 or could not be had. */
	readonly undecided: number;
	readonly undefined: number;
}

/** Baselines in the order of interest: the bar that matters, what training adds, then the weaker ones. */
const baselines = ['counts+values', 'untrained', 'counts', 'boosting', 'demographics'];

/** Pairs in the order of interest: what the latent objective changes, other encoders, then the baselines. */
export function comparisonsOf({ evaluation, runs }: ReportData): Comparison[] {
	const kinds = new Map(evaluation.models.map(({ name, kind }) => [name, kind]));
	const latent = new Map(runs.map((run) => [run.name, run.latent]));
	const byPair = new Map<string, PairedDifference[]>();
	for (const row of evaluation.differences) {
		const key = JSON.stringify([row.a, row.b]);
		const rows = byPair.get(key);
		if (rows === undefined) byPair.set(key, [row]);
		else rows.push(row);
	}
	const found = [...byPair.values()].map((rows): Comparison => {
		const { a, b } = rows[0]!;
		return { a, b, encoders: kinds.get(a) === 'encoder' && kinds.get(b) === 'encoder', rows };
	});
	const rank = ({ a, b, encoders }: Comparison) => {
		if (encoders) return latent.get(a) === latent.get(b) ? 1 : 0;
		return latent.get(a) === true ? 2 : 3;
	};
	const place = ({ b, encoders }: Comparison) =>
		encoders || !baselines.includes(b) ? baselines.length : baselines.indexOf(b);
	return found.sort((one, other) => rank(one) - rank(other) || place(one) - place(other));
}

/** Counts what the intervals show for one metric. */
export function verdictOf(rows: readonly PairedDifference[], metric: PairedDifference['metric']): Verdict {
	const verdict = { total: 0, better: 0, worse: 0, undecided: 0, undefined: 0 };
	for (const { metric: of, difference } of rows) {
		if (of !== metric) continue;
		verdict.total++;
		const sign = shownSign(difference);
		if (difference.value === null) verdict.undefined++;
		else if (sign === 0) verdict.undecided++;
		else if (sign > 0) verdict.better++;
		else verdict.worse++;
	}
	return verdict;
}
