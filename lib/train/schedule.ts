import type { z } from 'zod';
import { OptimizerConfig } from './train-config.js';

/**
 * Learning rate of a step: linear warm-up from 0, then half a cosine from the peak to `finalFraction` of it.
 *
 * @param update - 1 for the first. Updates beyond `steps`, of a run that was extended, have the rate of the last.
 * @param options - As `TrainConfig.optimizer`; `{}` has its defaults.
 */
export function learningRateAt(update: number, steps: number, options: z.input<typeof OptimizerConfig> = {}): number {
	const optimizer = OptimizerConfig.parse(options);
	const step = Math.min(update, steps);
	const warmup = Math.max(1, Math.round(steps * optimizer.warmupFraction));
	if (step <= warmup) return (optimizer.learningRate * step) / warmup;
	const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
	const cosine = (1 + Math.cos(Math.PI * progress)) / 2;
	return optimizer.learningRate * (optimizer.finalFraction + (1 - optimizer.finalFraction) * cosine);
}
