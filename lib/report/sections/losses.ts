import { curvesOf, type Pick, pointsOf } from '../curves.js';
import { html, nothing } from '../html.js';
import { lineChart } from '../line-chart.js';
import { legend } from '../marks.js';
import { formatCount, formatSignificant, listed } from '../numbers.js';
import type { ReportRuns } from '../report-data.js';
import { drawnPoints } from '../scales.js';
import type { Section } from '../section.js';
import { exact, type Row, table } from '../table.js';

const losses = [
	{
		id: 'next-token-loss',
		title: 'Next-token loss',
		valueName: 'nats per token',
		reading: 'How surprised the model is by the next event of a record; lower is better.',
		pick: ({ nextTokenLoss }) => nextTokenLoss,
	},
	{
		id: 'latent-loss',
		title: 'Latent loss',
		valueName: 'mean squared error',
		reading:
			'Distance of the predicted future state from the target encoder’s. The target moves, so only the ratios below can be judged.',
		pick: ({ latentLoss }) => latentLoss,
	},
] as const satisfies readonly { id: string; title: string; valueName: string; reading: string; pick: Pick }[];

export function lossesSection({ runs }: ReportRuns): Section {
	const title = 'Loss curves';
	if (runs.length === 0) return { id: 'losses', title, body: html`<p>No run folder was given.</p>` };
	const longest = Math.max(...runs.map(({ steps }) => steps.at(-1)?.step ?? 0));
	const cut = runs.filter(({ cutOff }) => cutOff).map(({ label }) => label);
	const rows = losses.flatMap(({ title: loss, pick }) =>
		runs
			.map(({ label, steps, tuning }) => ({ label, training: pointsOf(steps, pick), tuned: pointsOf(tuning, pick) }))
			.filter(({ training, tuned }) => training.length + tuned.length > 0)
			.map(({ label, training, tuned }, i): Row => {
				const best = tuned.reduce<(typeof tuned)[number] | undefined>(
					(least, point) => (least === undefined || point[1] < least[1] ? point : least),
					undefined,
				);
				const at = (point: (typeof tuned)[number] | undefined) =>
					point === undefined
						? html`<span class="why">none</span>`
						: html`${exact(point[1], formatSignificant(point[1]))} <span class="interval">step ${formatCount(point[0])}</span>`;
				const cells = [label, at(training[0]), at(training.at(-1)), at(tuned[0]), at(best), at(tuned.at(-1))];
				return i === 0 ? { cells, group: loss } : { cells };
			}),
	);
	const body = html`<p>Faint lines are training batches, strong lines their moving mean over about a twentieth of the run, marks the same fixed batches of tuning patients each time. Marks that rise while the line falls mean overfitting.${
		longest > drawnPoints
			? ` Runs of up to ${formatCount(longest)} steps are drawn as at most ${drawnPoints} means of neighbouring steps.`
			: ''
	}${cut.length === 0 ? '' : ` The last line of ${listed(cut)} was cut off, probably by a crash, and is not counted.`}</p>
${legend(runs.map(({ label, style }) => ({ label, style, kind: 'line' })))}
<div class="charts">${losses.map(({ id, title: name, valueName, reading, pick }) =>
		lineChart({ id, title: name, reading, valueName, series: curvesOf(runs, 'loss', pick) }),
	)}</div>
${
	rows.length === 0
		? html`<p>No step has been recorded.</p>`
		: table(
				'Losses at the start, at their best and at the end',
				[
					{ title: 'Run' },
					...['First training batch', 'Last training batch', 'First tuning', 'Best tuning', 'Last tuning'].map(
						(name) => ({ title: name, numeric: true }),
					),
				],
				rows,
			)
}${runs.some(({ latent }) => latent) ? nothing : html`<p class="note">No run has the latent objective.</p>`}`;
	return { id: 'losses', title, body };
}
