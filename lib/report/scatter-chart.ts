import { type Html, html, nothing } from './html.js';
import { colourClass, coordinate } from './marks.js';
import { formatCount } from './numbers.js';
import { figure, plotWidth } from './plot-frame.js';
import { extent, linearScale } from './scales.js';

const height = 330;
const area = { left: 12, right: plotWidth - 12, top: 14, bottom: height - 34 };

export interface ScatterGroup {
	readonly name: string;
	readonly style: number;
	/** Dots lie below crosses. */
	readonly shape: 'dot' | 'cross';
	readonly points: readonly (readonly [x: number, y: number])[];
}

/** Points of two axes that have no unit: where they lie to each other is what counts. */
export function scatterChart(chart: {
	readonly id: string;
	readonly title: string;
	readonly reading: string;
	readonly axes: readonly [x: string, y: string];
	readonly groups: readonly ScatterGroup[];
}): Html {
	const all = chart.groups.flatMap(({ points }) => points);
	const x = linearScale(...extent(all.map(([value]) => value)), area.left + 6, area.right - 6);
	const y = linearScale(...extent(all.map(([, value]) => value)), area.bottom - 6, area.top + 6);
	const middle = (points: ScatterGroup['points'], axis: 0 | 1) =>
		points.reduce((sum, point) => sum + point[axis], 0) / points.length;
	const body = html`<line class="grid" x1="${area.left}" x2="${area.right}" y1="${area.bottom}" y2="${area.bottom}"></line><line class="grid" x1="${area.left}" x2="${area.left}" y1="${area.top}" y2="${area.bottom}"></line>${[
		...chart.groups,
	]
		.sort((a, b) => b.shape.length - a.shape.length)
		.reverse()
		.map(({ points, shape, style }) => {
			if (points.length === 0) return nothing;
			// One path for all: fifteen hundred elements would make the page slow.
			const path = points
				.map(([px, py]) => {
					const at = `M${coordinate(x(px))} ${coordinate(y(py))}`;
					return shape === 'dot' ? `${at}h0` : `${at}m-3-3l6 6m0-6l-6 6`;
				})
				.join('');
			return html`<path class="${shape} ${colourClass(style)}" d="${path}"></path>`;
		})}<text class="axis" x="${area.right}" y="${height - 14}" text-anchor="end">${chart.axes[0]} →</text><text class="axis halo" x="${area.left + 6}" y="${area.top + 2}">↑ ${chart.axes[1]}</text>`;
	return figure(
		{
			id: chart.id,
			title: chart.title,
			reading: chart.reading,
			description: chart.groups
				.map(({ name, points }) =>
					points.length === 0
						? `${name}: none`
						: `${name}: ${formatCount(points.length)} states around ${middle(points, 0).toFixed(1)}, ${middle(points, 1).toFixed(1)}`,
				)
				.join('; '),
		},
		height,
		body,
	);
}
