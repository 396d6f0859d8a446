import type { TimeToEventEntry } from '../../tasks/read.js';
import type { SurvivalLabelRow } from '../../tasks/survival-labels.js';
import type { CohortFlowRow } from '../../types.js';
import type { BootstrapOptions } from '../intervals.js';
import { pairsOf, type Read } from '../results.js';
import { type Division, partsOf } from '../subgroups.js';
import { CensoringCurve } from './follow-up.js';
import type {
	SurvivalDifference,
	SurvivalProbeKind,
	SurvivalResult,
	SurvivalStratum,
	TimeToEvent,
} from './survival-file.js';
import { type SurvivalOutcomes, survivalEstimates, undefinedSurvivalNumbers } from './survival-intervals.js';
import { followUpOf, type SurvivalReading, type SurvivalRisks } from './survival-probe.js';
import type { SurvivalSamples } from './survival-samples.js';

/** Every metric of every model for one time to an event, whole and by part, and differences of models. */
export async function survivalResults(
	{ task, labels }: SurvivalSamples,
	models: readonly Read<SurvivalReading>[],
	divisions: readonly Division[],
	options: BootstrapOptions,
): Promise<Pick<TimeToEvent, 'results' | 'strata' | 'differences'>> {
	const censoring = new CensoringCurve(followUpOf(labels.train));
	const outcomesOf = (part: readonly SurvivalLabelRow[]): SurvivalOutcomes => ({
		patients: part.map(({ subjectId }) => subjectId),
		followUp: followUpOf(part),
		censoring,
		horizons: task.horizonsDays,
	});
	const fitted = models.flatMap(({ about, reading }) => (isFitted(reading) ? [{ about, reading }] : []));
	const pairs = pairsOf(fitted.map(({ about }) => about));
	const named = (
		differences: Awaited<ReturnType<typeof survivalEstimates>>['differences'],
		part: { readonly by: string; readonly group: string } | { readonly by: null; readonly group: null },
	) =>
		differences.map(
			({ a, b, ...rest }): SurvivalDifference => ({
				a: fitted[a]!.about.name,
				b: fitted[b]!.about.name,
				task: task.name,
				by: part.by,
				group: part.group,
				...rest,
			}),
		);
	const outcomes = outcomesOf(labels.held_out);
	const whole = await survivalEstimates(
		outcomes,
		fitted.map(({ reading }) => reading.scores),
		pairs,
		options,
	);
	const results = models.map(({ about, reading }): SurvivalResult => {
		const place = fitted.findIndex((one) => one.about === about);
		return {
			model: about.name,
			task: task.name,
			...(isFitted(reading) ? whole.models[place]! : undefinedSurvivalNumbers(reading.undefinedReason, outcomes)),
			...countsOf(labels.held_out),
			nTrainSamples: reading.nTrainSamples,
			nTrainEvents: reading.nTrainEvents,
			l2: isFitted(reading) ? reading.l2 : null,
		};
	});
	const differences = named(whole.differences, { by: null, group: null });
	const strata: SurvivalStratum[] = [];
	for (const { by, group, rows } of partsOf(divisions, labels.held_out)) {
		const part = rows.map((row) => labels.held_out[row]!);
		const read = await survivalEstimates(
			outcomesOf(part),
			fitted.map(({ reading }) => rows.map((row) => reading.scores[row]!)),
			pairs,
			options,
		);
		for (const [i, { about }] of fitted.entries())
			strata.push({ model: about.name, task: task.name, by, group, ...read.models[i]!, ...countsOf(part) });
		differences.push(...named(read.differences, { by, group }));
	}
	return { results, strata, differences };
}

/** What the file says of the tasks, without results. */
export function emptyTimeToEvent(probe: SurvivalProbeKind, samples: readonly SurvivalSamples[]): TimeToEvent {
	return {
		probe,
		tasks: samples.map(({ task: { name, label, definition, horizonsDays } }) => ({
			name,
			label,
			definition,
			horizonsDays,
		})),
		results: [],
		strata: [],
		differences: [],
	};
}

/** A row of the cohort flow. */
export function timeToEventFlow({
	label,
	patients,
	samples,
	events,
	died,
	excluded,
	matchingEvents,
}: TimeToEventEntry): CohortFlowRow {
	const none = matchingEvents === 0 ? '. No event of the data matches this task' : '';
	return {
		stage: `${label}, time to event`,
		patients,
		note: `${samples} samples, ${events} with the event, ${samples - events} censored, ${died} of them by death; left out: ${excluded.prevalent} with the event before, ${excluded.inBuffer} with it on the index day, ${excluded.withoutFollowUp} without follow-up${none}`,
	};
}

function isFitted(reading: SurvivalReading): reading is SurvivalRisks {
	return 'scores' in reading;
}

function countsOf(labels: readonly SurvivalLabelRow[]): Pick<SurvivalResult, 'nSamples' | 'nPatients' | 'nEvents'> {
	return {
		nSamples: labels.length,
		nPatients: new Set(labels.map(({ subjectId }) => subjectId)).size,
		nEvents: labels.reduce((sum, { event }) => sum + (event ? 1 : 0), 0),
	};
}
