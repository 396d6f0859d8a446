import type { Argv } from 'yargs';
import { type ModelSize, modelSizes } from '../model/qwen3-config.js';
import { variantNames } from '../study/options.js';
import { deviceOption } from './device-option.js';
import { type FlagOfOption, setOption } from './settings.js';

/** Adds the flags of a command that compares objectives. @param variants - Which ones without the flag, in words. */
export function withComparison<T>(yargs: Argv<T>, variants: string) {
	return yargs
		.option('config', { type: 'string', describe: 'JSON file with any option; the flags win over it' })
		.option('set', setOption)
		.option('variants', {
			type: 'string',
			array: true,
			choices: variantNames,
			describe: `Objectives to compare (default: ${variants})`,
		})
		.option('steps', { type: 'number', describe: 'Updates of each run (default 1000)' })
		.option('size', {
			choices: Object.keys(modelSizes) as ModelSize[],
			describe: 'Shape of the decoder (default demo)',
		})
		.option('device', deviceOption);
}

/** What of them stands for an option. */
export function comparisonFlags(args: {
	readonly variants?: unknown;
	readonly steps?: number | undefined;
	readonly size?: ModelSize | undefined;
}): FlagOfOption[] {
	return [
		{ flag: '--variants', path: 'variants', value: args.variants },
		{ flag: '--steps', path: 'steps', value: args.steps },
		{ flag: '--size', path: 'model', value: args.size && modelSizes[args.size] },
	];
}
