import { type CollapseMonitor, collapseMonitors } from '../objective/collapse-monitors.js';
import type { LossLine } from '../train/metrics.js';
import type { CurveSeries } from './line-chart.js';
import type { ReportRun } from './report-data.js';
import type { Point } from './scales.js';

/** A number of a metrics line; null where the line does not have it. */
export type Pick = (line: LossLine) => number | null;

/** Training line and tuning marks of one number of each run. */
export function curvesOf(
	runs: readonly ReportRun[],
	name: string,
	pick: Pick,
	variant?: CurveSeries['variant'],
): CurveSeries[] {
	return runs.flatMap(({ label, style, steps, tuning }): CurveSeries[] => {
		const shared = { style, ...(variant === undefined ? {} : { variant }) };
		return [
			{ ...shared, kind: 'line', name: `${label}, ${name}, training`, points: pointsOf(steps, pick) },
			{ ...shared, kind: 'marks', name: `${label}, ${name}, tuning`, points: pointsOf(tuning, pick) },
		];
	});
}

export function pointsOf(lines: readonly LossLine[], pick: Pick): Point[] {
	const points: Point[] = [];
	for (const line of lines) {
		const value = pick(line);
		if (value !== null) points.push([line.step, value]);
	}
	return points;
}

/** A monitor as the report shows it: one that is a null model's loss as what the latent loss is a multiple of. */
export function monitorPick(name: CollapseMonitor): Pick {
	return collapseMonitors[name].line === 'ratio' ? relativeTo(name) : ({ collapse }) => collapse?.[name] ?? null;
}

/** Latent loss as a multiple of a null model's; null where the null model is perfect, because nothing can beat it. */
function relativeTo(name: CollapseMonitor): Pick {
	return ({ latentLoss, collapse }) => {
		const reference = collapse?.[name];
		return latentLoss === null || reference === undefined || reference <= 0 ? null : latentLoss / reference;
	};
}
