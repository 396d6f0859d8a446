import { html } from '../html.js';
import { horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import type { Section } from '../section.js';
import { count, difference, estimate, exact, table } from '../table.js';

/** What states that were predicted some time ahead say; undefined unless a model predicts them. */
export function rolloutSection(data: ReportData): Section | undefined {
	const rows = data.evaluation.rollout;
	if (rows.length === 0) return undefined;
	const error = (value: number | null) =>
		value === null ? html`<span class="why">no samples</span>` : exact(value, value.toFixed(3));
	const numeric = (titles: readonly string[]) => [
		{ title: 'Model' },
		...titles.map((title) => ({ title, numeric: true })),
	];
	const body = html`<p>The predictor is given the state at the index date and a time ahead, nothing of the future. A ridge probe for the true state now, never shown a later one, reads what it predicts. It should beat the same probe on the unchanged state (copy); a probe fitted for each horizon (direct) knows more and is the mark to reach.</p>
${table(
	'R² of the true latent state, all axes weighted by their variance',
	numeric(['When', 'Predicted state', 'Copy', 'Predicted minus copy', 'Direct', 'Samples', 'Patients']),
	rows.map(({ model, horizonDays, r2, gain, nSamples, nPatients }) => ({
		cells: [
			data.labelOf(model),
			horizonLabel(horizonDays),
			estimate(r2.rollout),
			estimate(r2.copy),
			difference(gain),
			estimate(r2.direct),
			count(nSamples),
			count(nPatients),
		],
	})),
)}
<p>The same predictions against the state that the record leads to, at the last event before the horizon. States have a variance of 1 over their features.</p>
${table(
	'Mean squared error of the state',
	numeric(['When', 'Predicted state', 'Copy', 'Mean of training patients', 'Samples']),
	rows.map(({ model, horizonDays, stateErrors }) => ({
		cells: [
			data.labelOf(model),
			horizonLabel(horizonDays),
			error(stateErrors.predicted),
			error(stateErrors.copy),
			error(stateErrors.mean),
			count(stateErrors.nSamples),
		],
	})),
)}`;
	return { id: 'rollout', title: 'Predicted states', body };
}
