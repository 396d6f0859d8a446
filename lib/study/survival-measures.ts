import type { Statistic } from '../evaluate/intervals.js';
import type { Metric } from '../evaluate/metrics.js';
import { CensoringCurve, type FollowUp } from '../evaluate/survival/follow-up.js';
import { RankedSurvival } from '../evaluate/survival/survival-metrics.js';
import { followUpOf } from '../evaluate/survival/survival-probe.js';
import type { SurvivalSamples } from '../evaluate/survival/survival-samples.js';
import { tooFewAt, tooFewEvents } from '../evaluate/survival/too-few.js';
import type { Measure } from './comparison.js';
import type { BySeed } from './measures.js';
import type { StudyReading } from './readings.js';
import type { Quantity } from './study-file.js';

/** Concordances and time-dependent AUROC of every time to an event. */
export function survivalMeasures(
	samples: readonly SurvivalSamples[],
	readings: BySeed<Pick<StudyReading, 'survival'>>,
): Measure[] {
	return samples.flatMap(({ task, labels }, index): Measure[] => {
		const patients = labels.held_out.map(({ subjectId }) => subjectId);
		const followUp = followUpOf(labels.held_out);
		const censoring = new CensoringCurve(followUpOf(labels.train));
		const horizons = task.horizonsDays;
		let unread: string | undefined;
		const ranked = new Map<string, readonly (RankedSurvival | undefined)[]>();
		for (const [model, seeds] of readings) {
			const each = seeds.map(({ survival }) => {
				const read = survival[index]!;
				if ('scores' in read) return new RankedSurvival(read.scores, followUp, censoring, horizons);
				unread ??= read.undefinedReason;
				return undefined;
			});
			ranked.set(model, each);
		}
		const tooFew = tooFewEvents(patients, followUp) ?? unread;
		const measure = (
			quantity: Quantity,
			horizonDays: number | null,
			undefinedReason: string | undefined,
			of: (one: RankedSurvival, weights: Float64Array) => Metric,
		): Measure => ({
			quantity,
			task: task.name,
			horizonDays,
			patients,
			nSamples: patients.length,
			nPatients: new Set(patients).size,
			nPositives: eventsUpTo(followUp, horizonDays),
			undefinedReason,
			statistics: new Map([...ranked].map(([model, seeds]) => [model, seeds.map((one) => statistic(one, unread, of))])),
		});
		return [
			measure('concordance', null, tooFew, (one, weights) => one.concordances(weights).concordance),
			measure('ipcw-concordance', null, tooFew, (one, weights) => one.concordances(weights).ipcwConcordance),
			...horizons.map((horizon, k) =>
				measure('time-dependent-auroc', horizon, tooFew ?? tooFewAt(patients, followUp, horizon), (one, weights) =>
					one.auroc(weights, k),
				),
			),
		];
	});
}

/** The weights of a resample come in the order of the samples. */
function statistic(
	ranked: RankedSurvival | undefined,
	unread: string | undefined,
	of: (one: RankedSurvival, weights: Float64Array) => Metric,
): Statistic {
	if (ranked === undefined) return () => ({ undefinedReason: unread! });
	const own = new Float64Array(ranked.order.length);
	return (weights) => {
		for (const [i, sample] of ranked.order.entries()) own[i] = weights[sample]!;
		return of(ranked, own);
	};
}

function eventsUpTo({ days, events }: FollowUp, horizon: number | null): number {
	let count = 0;
	for (let i = 0; i < days.length; i++) if (events[i] === 1 && (horizon === null || days[i]! <= horizon)) count++;
	return count;
}
