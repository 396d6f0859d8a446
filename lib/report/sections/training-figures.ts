import type { StepMetrics } from '../../train/metrics.js';
import { html } from '../html.js';
import { median } from '../median.js';
import { formatBytes, formatCount, formatDuration, formatPercent } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import type { Section } from '../section.js';
import { count, exact, type Row, table } from '../table.js';

/** What training cost: speed, waiting, memory, time. */
export function trainingFiguresSection({ runs }: ReportData): Section {
	const title = 'Training figures';
	if (runs.length === 0) return { id: 'training', title, body: html`<p>No run folder was given.</p>` };
	const rows = runs.map(({ label, steps }): Row => {
		if (steps.length === 0)
			return { cells: [label, html`<span class="why">no step recorded</span>`, '', '', '', '', '', ''] };
		const total = (pick: (step: StepMetrics) => number) => steps.reduce((sum, step) => sum + pick(step), 0);
		const time = total(({ stepMs, waitMs }) => stepMs + waitMs);
		const rate = median(steps.map(({ tokensPerSecond }) => tokensPerSecond));
		const duration = median(steps.map(({ stepMs }) => stepMs));
		const memory = steps.reduce((most, { peakRssBytes }) => Math.max(most, peakRssBytes), 0);
		return {
			cells: [
				label,
				count(steps.length),
				count(total(({ tokens }) => tokens)),
				exact(rate, formatCount(Math.round(rate))),
				exact(duration, `${formatCount(Math.round(duration))} ms`),
				time === 0 ? html`<span class="why">not timed</span>` : formatPercent(total(({ waitMs }) => waitMs) / time, 1),
				exact(memory, formatBytes(memory)),
				formatDuration(time),
			],
		};
	});
	const columns = [
		'Steps',
		'Tokens',
		'Tokens per second',
		'Time per step',
		'Waited for data',
		'Peak memory',
		'Time in steps',
	];
	const body = html`<p>Tokens are those of the packed records; copies that the latent objective masks are not counted. Rate and time per step are medians over steps; time without evaluations and checkpoints.</p>
${table('Speed, memory and time', [{ title: 'Run' }, ...columns.map((name) => ({ title: name, numeric: true }))], rows)}`;
	return { id: 'training', title, body };
}
