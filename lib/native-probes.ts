/** What the native solvers of probes take and give; native/contract/probes.h and boosting.h. */

export interface NativeLogisticOptions {
	/** (rows x columns) row-major features. */
	readonly features: Float32Array;
	readonly rows: number;
	readonly columns: number;
	/** (rows,) 0 or 1. */
	readonly labels: Uint8Array;
	/** L2 weights, each fitted on its own: 0.5 l2 |w|^2 + mean log-loss; the intercept is not penalised. */
	readonly l2: Float64Array;
}
/** One solution per l2 weight; (l2.length x (columns + 1)), the intercept last. */
export interface NativeLogisticResult {
	readonly weights: Float64Array;
	readonly iterations: Int32Array;
	readonly converged: Uint8Array;
}
export interface NativeRidgeOptions {
	readonly features: Float32Array;
	readonly rows: number;
	readonly columns: number;
	/** (rows x outputs) row-major. */
	readonly targets: Float32Array;
	readonly outputs: number;
	/** 0.5 l2 |w|^2 + 0.5 mean squared error per output; the intercept is not penalised. */
	readonly l2: Float64Array;
}
/** (l2.length x outputs x (columns + 1)), the intercept last. */
export interface NativeRidgeResult {
	readonly weights: Float64Array;
}
/** Boosted trees, fitted on some rows, stopped by others and read on a third set; matrices are row-major. */
export interface NativeBoostingOptions {
	readonly columns: number;
	/** (targets x columns) */
	readonly features: Float32Array;
	readonly targets: Float32Array;
	/** (tuning targets x columns); none: all trees are kept. */
	readonly tuningFeatures: Float32Array;
	readonly tuningTargets: Float32Array;
	/** (rows x columns) */
	readonly readFeatures: Float32Array;
	/**
	 * `logistic`: targets are 0 or 1, log-odds are predicted. `cox`: targets are times, negated where follow-up ended before the event;
	 * log-hazards are predicted but for a constant.
	 */
	readonly loss: 'logistic' | 'squared' | 'cox';
	readonly learningRate: number;
	/** At most. */
	readonly trees: number;
	/** Trees without a smaller loss on tuning after which it stops. */
	readonly patience: number;
	readonly leaves: number;
	readonly leafRows: number;
	/** On the value of a leaf. */
	readonly l2: number;
	/** Of a column; from 2 to 255. */
	readonly bins: number;
}
export interface NativeBoostingResult {
	/** (rows,) log-odds or the target's own unit. */
	readonly predicted: Float64Array;
	/** How many trees were kept. */
	readonly trees: number;
}
/** What the three solvers below share. */
interface NativeNewtonOptions {
	/** (rows x columns) row-major features; standardise first. */
	readonly features: Float32Array;
	readonly rows: number;
	readonly columns: number;
	/** (rows,) at least 0; empty for 1 each. Losses are their weighted mean. */
	readonly weights: Float64Array;
	/** L2 weights, each fitted on its own: 0.5 l2 |w|^2 beside the loss; intercepts are not penalised. */
	readonly l2: Float64Array;
}
/** Mean cross-entropy of a softmax; native/solve/multinomial.h. */
export interface NativeMultinomialOptions extends NativeNewtonOptions {
	/** (rows,) 0 .. classes - 1. */
	readonly labels: Int32Array;
	readonly classes: number;
}
/** Efron's partial likelihood; native/solve/cox.h. An l2 of 0 fits without a penalty. */
export interface NativeCoxOptions extends NativeNewtonOptions {
	/** (rows,) to the event or to the end of follow-up, in any unit. */
	readonly times: Float64Array;
	/** (rows,) 1 where the event was seen, 0 where follow-up ended. */
	readonly events: Uint8Array;
}
/** Log-loss over the periods that each row was at risk; native/solve/hazard.h. */
export interface NativeHazardOptions extends NativeNewtonOptions {
	/** (rows,) periods through which each was seen. */
	readonly atRisk: Int32Array;
	/** (rows,) 1 where the event came in the last of them. */
	readonly events: Uint8Array;
	readonly periods: number;
}
/** One solution per l2 weight. */
export interface NativeNewtonResult {
	/**
	 * Multinomial: (l2.length x classes x (columns + 1)), the intercept last. Cox: (l2.length x columns). Hazard:
	 * (l2.length x (columns + periods)), the intercepts of the periods last.
	 */
	readonly weights: Float64Array;
	readonly iterations: Int32Array;
	readonly converged: Uint8Array;
}
/** Bootstrap resamples of groups of samples, such as patients. */
export interface NativeResampleOptions {
	/** (groups + 1,) from 0: where the samples of each start; they stand side by side. */
	readonly offsets: Int32Array;
	/** (tables x samples) below `cellCount`: where each table counts each sample. */
	readonly cells: Int32Array;
	readonly cellCount: number;
	readonly seed: number;
	readonly firstDraw: number;
	readonly draws: number;
}
export interface NativeResampleResult {
	/** (draws x cellCount) how often the samples of each cell were drawn. */
	readonly weights: Float64Array;
}
