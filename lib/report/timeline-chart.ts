import { type Html, html, nothing } from './html.js';
import { colourClass, coordinate, dashOf, mark } from './marks.js';
import { formatCount, formatMetric, formatTick } from './numbers.js';
import { dashedLine, figure, letterWidth, type PlotArea, plotWidth, tickDrop, valueAxis } from './plot-frame.js';
import { linearScale, ticks } from './scales.js';

const height = 236;
const plot: PlotArea = { left: 46, right: plotWidth - 12, top: 44, bottom: height - 42 };
/** Signs of outcomes that are closer than their width stand in rows, of which there are at most so many. */
const signWidth = 12;
const signHeight = 13;
const mostSignRows = 4;
const rowHeight = 22;
const namesWidth = 130;
/** Characters of a kind of event that fit before its row. */
const nameCharacters = 15;
const daysPerYear = 365.25;
const deathWidth = letterWidth * 'death'.length;

/** The time axis of a patient's charts: age where it is known, years of the record otherwise. */
export interface PatientTime {
	readonly lastDay: number;
	/** At day 0. */
	readonly ageYears: number | null;
	readonly deathDay: number | null;
}

export interface TimelineSeries {
	readonly name: string;
	readonly style: number;
	readonly points: readonly {
		readonly day: number;
		readonly value: number;
		readonly low?: number;
		readonly high?: number;
	}[];
}

function timeScale({ lastDay, ageYears, deathDay }: PatientTime, left: number, right: number) {
	const last = Math.max(1, lastDay, deathDay ?? 0);
	const x = linearScale(0, last, left, right);
	const start = ageYears ?? 0;
	const years = ticks(start, start + last / daysPerYear, 5);
	const axis = (bottom: number) =>
		html`${years.values.map(
			(year) =>
				html`<text class="tick" x="${coordinate(x((year - start) * daysPerYear))}" y="${bottom + tickDrop}" text-anchor="middle">${formatTick(year, years.step)}</text>`,
		)}<text class="axis" x="${(left + right) / 2}" y="${bottom + 37}" text-anchor="middle">${ageYears === null ? 'years of the record' : 'age in years'}</text>`;
	// The word stands above the plot, in which it would lie on marks, behind what else is written there.
	const death = (top: number, bottom: number, wordAt: number, behind: number) => {
		if (deathDay === null) return nothing;
		const end = Math.min(right, Math.max(behind + deathWidth, x(deathDay) + deathWidth / 2));
		return html`<line class="reference" x1="${coordinate(x(deathDay))}" x2="${coordinate(x(deathDay))}" y1="${top}" y2="${bottom}"></line><text class="tick" x="${coordinate(end)}" y="${wordAt}" text-anchor="end">death</text>`;
	};
	return { x, axis, death };
}

function placeWords({ ageYears }: PatientTime, day: number): string {
	return ageYears === null ? `day ${formatCount(day)}` : `age ${(ageYears + day / daysPerYear).toFixed(1)}`;
}

/** What was recorded when: a row for each kind of event, higher strokes for more events of a day, and the index dates. */
export function eventsChart(chart: {
	readonly id: string;
	readonly title: string;
	readonly time: PatientTime;
	readonly events: readonly {
		readonly kind: string;
		readonly days: readonly number[];
		readonly counts: readonly number[];
	}[];
	readonly indexDays: readonly number[];
}): Html {
	const { time, events, indexDays } = chart;
	const top = 14;
	const bottom = top + rowHeight * (events.length + 1);
	const { x, axis, death } = timeScale(time, namesWidth, plotWidth - 12);
	const rows = events.map(({ kind, days, counts }, row) => {
		const base = top + rowHeight * (row + 1) - 4;
		const most = Math.max(1, ...counts);
		const path = days
			.map(
				(day, i) =>
					`M${coordinate(x(day))} ${base}v-${coordinate(4 + (11 * Math.log1p(counts[i]!)) / Math.log1p(most))}`,
			)
			.join('');
		const words = kind.replaceAll('_', ' ').toLowerCase();
		const name = words.length <= nameCharacters ? words : `${words.slice(0, nameCharacters - 1)}…`;
		return html`<text class="tick" x="${namesWidth - 9}" y="${base - 1}" text-anchor="end">${name}</text><line class="grid" x1="${namesWidth}" x2="${plotWidth - 12}" y1="${base}" y2="${base}"></line><path class="strokes ${colourClass(0)}" d="${path}"></path>`;
	});
	const marks = indexDays.map((day, i) =>
		mark(3, x(day), bottom - 9, { size: 4, title: `index date ${i + 1}, ${placeWords(time, day)}` }),
	);
	const body = html`${rows}${death(top, bottom - rowHeight, top - 3, namesWidth)}<text class="tick" x="${namesWidth - 9}" y="${bottom - 5}" text-anchor="end">index dates</text>${marks}${axis(bottom)}`;
	return figure(
		{
			id: chart.id,
			title: chart.title,
			reading:
				'A stroke is a day with events of this kind, higher for more of them; triangles are the days of prediction.',
			description: `${events
				.map(
					({ kind, counts, days }) =>
						`${kind}: ${formatCount(counts.reduce((sum, count) => sum + count, 0))} events on ${formatCount(days.length)} days`,
				)
				.join(
					'; ',
				)}; index dates at ${indexDays.map((day) => placeWords(time, day)).join(', ')}${time.deathDay === null ? '' : `; death at ${placeWords(time, time.deathDay)}`}`,
		},
		bottom + 42,
		body,
	);
}

/** A number of each model over a patient's time, with intervals, and below the title what happened after each index date. */
export function timelineChart(chart: {
	readonly id: string;
	readonly title: string;
	readonly reading?: string;
	readonly valueName: string;
	readonly time: PatientTime;
	readonly series: readonly TimelineSeries[];
	readonly outcomes?: readonly { readonly day: number; readonly value: boolean | null }[];
	/** A dashed horizontal line. */
	readonly reference?: { readonly value: number; readonly label: string };
	/** Highest value of the axis at least. */
	readonly atLeast: number;
}): Html {
	const { time, series, outcomes = [], reference } = chart;
	const values = series.flatMap(({ points }) => points.flatMap(({ value, high }) => [value, high ?? value]));
	const top = Math.max(chart.atLeast, ...values, reference?.value ?? 0) * 1.04;
	const { x, axis, death } = timeScale(time, plot.left, plot.right);
	const signRows = rowsOfSigns(outcomes.map(({ day }) => x(day)));
	const raised = signHeight * Math.max(0, ...signRows);
	const area: PlotArea = { ...plot, top: plot.top + raised, bottom: plot.bottom + raised };
	const y = linearScale(0, top, area.bottom, area.top);
	const nameWidth = letterWidth * (chart.valueName.length + (reference === undefined ? 0 : reference.label.length + 8));
	const body = html`${valueAxis(area, 0, top, y, chart.valueName, reference?.label)}${death(area.top, area.bottom, area.top - 11, area.left + nameWidth)}${reference === undefined ? nothing : dashedLine(area, y(reference.value))}${series.map(
		({ style, points }) =>
			html`${points.map(({ day, low, high }) =>
				low === undefined || high === undefined
					? nothing
					: html`<line class="whisker thin ${colourClass(style)}" x1="${coordinate(x(day) + nudge(style))}" x2="${coordinate(x(day) + nudge(style))}" y1="${coordinate(y(low))}" y2="${coordinate(y(high))}"></line>`,
			)}<polyline class="curve ${colourClass(style)}" points="${points.map(({ day, value }) => `${coordinate(x(day) + nudge(style))},${coordinate(y(value))}`).join(' ')}" stroke-dasharray="${dashOf(style)}"></polyline>`,
	)}${series.map(({ name, style, points }) =>
		points.map(({ day, value }) =>
			mark(style, x(day) + nudge(style), y(value), {
				size: 3.8,
				title: `${name}, ${placeWords(time, day)}: ${formatMetric(value)}`,
			}),
		),
	)}${outcomes.map(
		({ day, value }, i) =>
			html`<text class="outcome" x="${coordinate(x(day))}" y="${area.top - 29 - signHeight * signRows[i]!}" text-anchor="middle">${outcomeSign(value)}<title>${placeWords(time, day)}: ${outcomeWord(value)}</title></text>`,
	)}${axis(area.bottom)}`;
	const happened = (day: number) => {
		const found = outcomes.find((outcome) => outcome.day === day);
		return found === undefined ? '' : `, ${outcomeWord(found.value)}`;
	};
	return figure(
		{
			id: chart.id,
			title: chart.title,
			...(chart.reading === undefined ? {} : { reading: chart.reading }),
			description: series
				.map(
					({ name, points }) =>
						`${name}: ${points.map(({ day, value, low, high }) => `${placeWords(time, day)} ${formatMetric(value)}${low === undefined || high === undefined ? '' : ` [${formatMetric(low)}, ${formatMetric(high)}]`}${happened(day)}`).join('; ')}`,
				)
				.join('. '),
		},
		height + raised,
		body,
	);
}

/** The row of each sign above the plot, the lowest in which none stands close by. @param places - Ascending. */
function rowsOfSigns(places: readonly number[]): number[] {
	const ends = new Array<number>(mostSignRows).fill(Number.NEGATIVE_INFINITY);
	return places.map((place) => {
		const free = ends.findIndex((end) => end <= place);
		const row = free >= 0 ? free : ends.indexOf(Math.min(...ends));
		ends[row] = place + signWidth;
		return row;
	});
}

/** Marks of models at one date stand beside each other. */
function nudge(style: number): number {
	return style * 3;
}

export function outcomeSign(value: boolean | null): string {
	return value === null ? '?' : value ? '✕' : '○';
}
export function outcomeWord(value: boolean | null): string {
	return value === null ? 'not known' : value ? 'it happened' : 'it did not happen';
}
