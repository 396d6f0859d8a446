import type { TrajectoriesFile, Trajectory } from '../../evaluate/trajectories-file.js';
import { type Html, html, nothing } from '../html.js';
import { legend } from '../marks.js';
import { formatCount, formatMetric, formatPercent, horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { exact, type Row, table } from '../table.js';
import { eventsChart, outcomeSign, outcomeWord, timelineChart } from '../timeline-chart.js';

/** Single held-out patients as the models see them. Undefined unless trajectories were given. */
export function trajectoriesSection(data: ReportData): Section | undefined {
	const { trajectories } = data;
	if (trajectories === undefined || trajectories.patients.length === 0) return undefined;
	const [first, ...others] = trajectories.patients;
	const models = [...new Set(trajectories.patients.flatMap(({ moved }) => moved.map(({ model }) => model)))];
	const { refits, level } = trajectories.interval;
	const body = html`<p>Held-out patients, ${data.evaluation.dataset.simulated ? 'simulated ones' : 'whose record this page now holds in part: treat it as one'}. At each index date the frozen state is read by the probes of the evaluation. Whiskers are ${formatPercent(level)} intervals over ${refits} probes fitted again on resampled training patients: they hold the luck of the probe, not all that is unknown of one person. Above each chart: ✕ it happened within the horizon, ○ it did not, ? not known.</p>
${legend(models.map((name) => ({ label: data.labelOf(name), style: data.styleOf(name), kind: 'line' })))}
${patient(data, trajectories, first!, 0)}
${others.map((other, i) => details(`Patient ${other.subjectId}`, patient(data, trajectories, other, i + 1)))}`;
	return { id: 'trajectories', title: 'Single patients', body };
}

function patient(data: ReportData, { strangers }: TrajectoriesFile, of: Trajectory, number: number): Html {
	const { indexDays, risks, outcomes, moved, events } = of;
	const withInterval = risks.filter(({ low }) => low !== undefined);
	const drawn = (withInterval.length > 0 ? withInterval : risks).map(({ task, horizonDays }) => ({
		task,
		horizonDays,
	}));
	const questions = [...new Map(drawn.map((question) => [JSON.stringify(question), question])).values()];
	const isOf =
		(question: { readonly task: string; readonly horizonDays: number | null }) =>
		({ task, horizonDays }: { readonly task: string; readonly horizonDays: number | null }) =>
			task === question.task && horizonDays === question.horizonDays;
	const name = (question: { readonly task: string; readonly horizonDays: number | null }) =>
		`${data.taskLabel(question.task)}, ${horizonLabel(question.horizonDays)}`;
	const distances = strangers.filter(({ model }) => moved.some((one) => one.model === model));
	const apart = distances.reduce((sum, { distance }) => sum + distance, 0) / distances.length;
	return html`<h3>Patient ${of.subjectId}</h3>
<p class="note">${formatCount(events.reduce((sum, { counts }) => sum + counts.reduce((all, count) => all + count, 0), 0))} dated events in ${formatCount(of.lastDay + 1)} days${of.ageYears === null ? '' : `, from the age of ${of.ageYears.toFixed(1)}`}; ${formatCount(indexDays.length)} index dates.</p>
<div class="charts">${eventsChart({ id: `events-${number}`, title: 'What was recorded', time: of, events, indexDays })}${questions.map(
		(question, i) =>
			timelineChart({
				id: `risk-${number}-${i}`,
				title: `Risk: ${name(question)}`,
				valueName: 'predicted probability',
				time: of,
				atLeast: 0.1,
				series: risks.filter(isOf(question)).map(({ model, probability, low, high }) => ({
					name: data.labelOf(model),
					style: data.styleOf(model),
					points: probability.map((value, date) => ({
						day: indexDays[date]!,
						value,
						...(low === undefined || high === undefined ? {} : { low: low[date]!, high: high[date]! }),
					})),
				})),
				outcomes: (outcomes.find(isOf(question))?.values ?? []).map((value, date) => ({
					day: indexDays[date]!,
					value,
				})),
			}),
	)}${
		moved.length === 0 || indexDays.length < 2
			? nothing
			: timelineChart({
					id: `moved-${number}`,
					title: 'Distance moved in latent space',
					reading: 'From the state of the index date before; the dashed line: between two patients on average.',
					valueName: 'standard deviations',
					time: of,
					atLeast: 0.1,
					series: moved.map(({ model, distance }) => ({
						name: data.labelOf(model),
						style: data.styleOf(model),
						points: distance.slice(1).map((value, date) => ({ day: indexDays[date + 1]!, value })),
					})),
					...(distances.length === 0 ? {} : { reference: { value: apart, label: 'two patients' } }),
				})
	}</div>
${details(`Table: what was predicted ahead for patient ${of.subjectId}, and what happened`, ahead(data, of, name))}`;
}

/** Every risk of every horizon at each index date. */
function ahead(
	data: ReportData,
	{ risks, outcomes, indexDays, ageYears, subjectId }: Trajectory,
	name: (question: { readonly task: string; readonly horizonDays: number | null }) => string,
): Html {
	const dates = indexDays.map((day) =>
		ageYears === null ? `day ${formatCount(day)}` : `age ${(ageYears + day / 365.25).toFixed(2)}`,
	);
	const rows = outcomes.flatMap((question): Row[] => {
		const of = risks.filter(({ task, horizonDays }) => task === question.task && horizonDays === question.horizonDays);
		if (of.length === 0) return [];
		return [
			...of.map(({ model, probability, low, high }, i): Row => {
				const cells = probability.map((value, date) => {
					const interval =
						low === undefined || high === undefined
							? nothing
							: html` <span class="interval">[${formatMetric(low[date]!)}, ${formatMetric(high[date]!)}]</span>`;
					return html`${exact(value, formatMetric(value))}${interval}`;
				});
				const row = { cells: [data.labelOf(model), ...cells] };
				return i === 0 ? { ...row, group: name(question) } : row;
			}),
			{
				cells: [
					'What happened',
					...question.values.map((value) => html`${outcomeSign(value)} <span class="why">${outcomeWord(value)}</span>`),
				],
				quiet: true,
			},
		];
	});
	return table(
		`Predicted probabilities of patient ${subjectId} by index date`,
		[{ title: 'Model' }, ...dates.map((title) => ({ title, numeric: true }))],
		rows,
	);
}
