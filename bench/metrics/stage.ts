/** The stage of bench/metrics.ts: `predictionMetrics` on a file, as the command calls it. */
import { predictionMetrics } from '../../lib/index.js';

export interface Asked {
	readonly path: string;
	readonly draws: number;
}

export interface Measured {
	readonly wallSeconds: number;
	/** User and system, all threads. */
	readonly cpuSeconds: number;
	readonly peakMiB: number;
	readonly samples: number;
	readonly patients: number;
	readonly auroc: { readonly value: number | null; readonly low: number | null; readonly high: number | null };
	readonly brier: number | null;
}

const asked = process.env.EHR_JEPA_BENCH_STAGE;
if (asked !== undefined) {
	const { path, draws } = JSON.parse(asked) as Asked;
	const before = process.cpuUsage();
	const started = performance.now();
	const { samples, patients, models } = await predictionMetrics({ predictions: [{ name: 'model', path }], draws });
	const wallSeconds = (performance.now() - started) / 1000;
	const { user, system } = process.cpuUsage(before);
	const { auroc, brier } = models[0]!.metrics;
	process.send?.({
		...{ wallSeconds, cpuSeconds: (user + system) / 1e6 },
		peakMiB: Math.round(process.resourceUsage().maxRSS / 1024),
		...{ samples, patients, auroc, brier: brier.value },
	} satisfies Measured);
	process.disconnect?.();
}
