import type { BinaryMetricName } from '../evaluate/binary-metrics.js';
import type { Estimate } from '../evaluate/estimate.js';

/** Metrics of binary predictions as a terminal names them. */
export const metricWords: Readonly<Record<BinaryMetricName, string>> = {
	auroc: 'AUROC',
	averagePrecision: 'average precision',
	brier: 'Brier score',
	expectedCalibrationError: 'expected calibration error',
	calibrationSlope: 'calibration slope',
	calibrationIntercept: 'calibration intercept',
};

/** A metric with its interval, or why there is none. */
export function estimateLine(name: string, { value, low, high, undefinedReason }: Estimate, counts = ''): string {
	const interval = low === null || high === null ? '' : ` [${low.toFixed(3)}, ${high.toFixed(3)}]`;
	return `${name.padEnd(28)} ${value === null ? `undefined: ${undefinedReason}` : `${value.toFixed(3)}${interval}`}${counts}`;
}
