import type { TrajectoriesFile } from '../../evaluate/trajectories-file.js';
import { html, nothing } from '../html.js';
import { formatCount, formatPercent, horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { scatterChart } from '../scatter-chart.js';
import { details, type Section } from '../section.js';

/** Where held-out states lie on their two strongest axes, by outcome. Undefined unless trajectories were given. */
export function stateMapSection(data: ReportData): Section | undefined {
	const { trajectories } = data;
	if (trajectories === undefined) return undefined;
	const { models, outcomes, states } = trajectories.map;
	const [first, ...others] = outcomes;
	if (first === undefined || models.length === 0 || states === 0) return undefined;
	const drawn = models[0]!.points.length;
	const body = html`<p>Each point is the state of a held-out patient at an index date, on the first two principal axes of training patients' states (standardised; the axes are exact, and the same each time). An outcome that the states tell apart along these axes shows as two clouds; one that they tell apart along others does not, so the probes above are what counts.${
		drawn < states
			? ` Drawn are ${formatCount(drawn)} of ${formatCount(states)} states, by seed.`
			: ` All ${formatCount(states)} states are drawn.`
	}</p>
<ul class="legend"><li><svg viewBox="0 0 30 16" aria-hidden="true"><path class="cross c1" d="M12 5l6 6m0-6l-6 6"></path></svg><span>it happened within the horizon</span></li><li><svg viewBox="0 0 30 16" aria-hidden="true"><path class="dot c0" d="M15 8h0"></path></svg><span>it did not</span></li><li><svg viewBox="0 0 30 16" aria-hidden="true"><path class="dot c2" d="M15 8h0"></path></svg><span>not known, or not asked</span></li></ul>
<div class="charts">${models.map((_, i) => map(data, trajectories, i, 0))}</div>
${others.length === 0 ? nothing : details('Maps of the other outcomes', html`<div class="charts">${others.flatMap((_, k) => models.map((__, i) => map(data, trajectories, i, k + 1)))}</div>`)}`;
	return { id: 'state-map', title: 'Map of patient states', body };
}

function map(data: ReportData, { map: { models, outcomes } }: TrajectoriesFile, number: number, outcome: number) {
	const { model, explained, points } = models[number]!;
	const { task, horizonDays, values } = outcomes[outcome]!;
	const [first, second] = explained;
	const of = (wanted: boolean | null) => points.filter((_, i) => values[i] === wanted);
	return scatterChart({
		id: `map-${number}-${outcome}`,
		title: `${data.labelOf(model)}: ${data.taskLabel(task)}, ${horizonLabel(horizonDays)}`,
		reading: `Both axes hold ${formatPercent(first + second)} of the variance.`,
		axes: [`axis 1, ${formatPercent(first)} of the variance`, `axis 2, ${formatPercent(second)}`],
		groups: [
			{ name: 'not known', style: 2, shape: 'dot', points: of(null) },
			{ name: 'it did not happen', style: 0, shape: 'dot', points: of(false) },
			{ name: 'it happened', style: 1, shape: 'cross', points: of(true) },
		],
	});
}
