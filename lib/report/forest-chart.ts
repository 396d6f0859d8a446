import type { Estimate } from '../evaluate/evaluation-file.js';
import { type Html, html, nothing } from './html.js';
import { coordinate } from './marks.js';
import { formatDifference, formatTick } from './numbers.js';
import { figure, plotWidth } from './plot-frame.js';
import { extent, linearScale, ticks } from './scales.js';

const rowHeight = 19;
const left = 66;
const right = plotWidth - 14;
const top = 26;
/** Characters of each of the two words above the axis. */
const sideCharacters = 25;
/** The axis holds at least this, so that tiny differences look tiny. */
const alwaysShown = [-0.02, 0.02];
/** Characters of a heading that fit above the rows. */
const headingCharacters = 54;

export interface ForestRow {
	readonly group: string;
	readonly label: string;
	readonly estimate: Estimate;
}

export interface ForestChart {
	readonly id: string;
	readonly title: string;
	readonly rows: readonly ForestRow[];
	/** What lies on the left and on the right of 0. */
	readonly sides: readonly [left: string, right: string];
}

/** Whether an interval excludes 0: the only thing that is called a difference. */
export function shownSign({ low, high }: Estimate): -1 | 0 | 1 {
	if (low !== null && low > 0) return 1;
	return high !== null && high < 0 ? -1 : 0;
}

/** Differences with intervals, one row each, under headings. Filled marks: the interval excludes 0. */
export function forestChart(chart: ForestChart): Html {
	const ends = chart.rows.flatMap(({ estimate: { value, low, high } }) =>
		[value, low, high].filter((end) => end !== null),
	);
	const [lowest, highest] = extent([...alwaysShown, ...ends]);
	const margin = 0.03 * (highest - lowest);
	const [low, high] = [lowest - margin, highest + margin];
	const x = linearScale(low, high, left, right);
	const axis = ticks(low, high, 5);
	let y = top;
	let group: string | undefined;
	const rows = chart.rows.map((row) => {
		let heading = nothing;
		if (row.group !== group) {
			group = row.group;
			y += rowHeight + 4;
			heading = html`<text class="axis halo" x="0" y="${y - 6}">${shortened(group, headingCharacters)}</text>`;
		}
		y += rowHeight;
		return html`${heading}${forestRow(row, x, y - rowHeight / 2)}`;
	});
	const bottom = y + 6;
	const body = html`<text class="tick" x="0" y="14">← ${shortened(chart.sides[0], sideCharacters)}</text><text class="tick" x="${right}" y="14" text-anchor="end">${shortened(chart.sides[1], sideCharacters)} →</text>${axis.values.map(
		(value) =>
			html`<line class="${value === 0 ? 'reference' : 'grid'}" x1="${coordinate(x(value))}" x2="${coordinate(x(value))}" y1="${top - 4}" y2="${bottom}"></line><text class="tick" x="${coordinate(x(value))}" y="${bottom + 16}" text-anchor="middle">${formatTick(value, axis.step)}</text>`,
	)}${rows}`;
	return figure(
		{
			id: chart.id,
			title: chart.title,
			description: chart.rows
				.map(({ group: heading, label, estimate }) => `${heading}, ${label}: ${differenceText(estimate)}`)
				.join('; '),
		},
		bottom + 24,
		body,
	);
}

function differenceText({ value, low, high, undefinedReason }: Estimate): string {
	if (value === null) return `not defined (${undefinedReason ?? 'no reason given'})`;
	return low === null || high === null
		? `${formatDifference(value)} [no interval]`
		: `${formatDifference(value)} [${formatDifference(low)}, ${formatDifference(high)}]`;
}

function forestRow({ label, estimate }: ForestRow, x: (value: number) => number, y: number): Html {
	const name = html`<text class="tick" x="${left - 10}" y="${coordinate(y + 4.4)}" text-anchor="end">${label}</text>`;
	const { value, low, high } = estimate;
	if (value === null)
		return html`${name}<text class="tick" x="${coordinate(x(0) + 8)}" y="${coordinate(y + 4.4)}">not defined</text>`;
	const sign = shownSign(estimate);
	const tone = sign === 0 ? 'undecided' : sign > 0 ? 'better' : 'worse';
	const whisker =
		low === null || high === null
			? nothing
			: html`<line class="whisker ${tone}" x1="${coordinate(x(low))}" x2="${coordinate(x(high))}" y1="${coordinate(y)}" y2="${coordinate(y)}"></line>`;
	return html`${name}${whisker}<circle class="mark ${tone}${sign === 0 ? ' hollow' : ''}" cx="${coordinate(x(value))}" cy="${coordinate(y)}" r="4.2"><title>${label}: ${differenceText(estimate)}</title></circle>`;
}

/** Text in a drawing does not wrap; the tables give it in full. */
function shortened(text: string, characters: number): string {
	return text.length <= characters ? text : `${text.slice(0, characters - 1).trimEnd()}…`;
}
