import { join } from 'node:path';
import type { Argv } from 'yargs';
import { crossValidate } from '../../study/cross-validation/cross-validate.js';
import { crossValidationSummary } from '../../study/cross-validation/cross-validation-markdown.js';
import { CrossValidationOptions } from '../../study/cross-validation/options.js';
import { comparisonFlags, withComparison } from '../comparison-options.js';
import { withContext } from '../context.js';
import { deviceOf } from '../device-option.js';
import { lifeCodesOf, withLifeCodes } from '../life-code-options.js';
import { duration } from '../progress-line.js';
import { applySettings, configFile } from '../settings.js';

export const builder = (yargs: Argv) =>
	withComparison(withLifeCodes(yargs), 'sft smb-structure')
		.positional('meds', { type: 'string', demandOption: true, describe: 'MEDS data set; its splits are not used' })
		.option('out', {
			type: 'string',
			default: join('runs', 'cross-validation'),
			describe: 'Folder of the cross-validation',
		})
		.option('folds', { type: 'number', describe: 'Folds; each patient is held out in one (default 5)' })
		.option('repeats', { type: 'number', describe: 'Divisions into folds (default 3)' })
		.example('$0 cross-validate data/mimic-iv-demo --steps 200', 'The same command goes on after an interruption');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const started = performance.now();
		const base: Partial<CrossValidationOptions> = await configFile('cross-validate', args.config);
		const options = applySettings(
			'cross-validate',
			CrossValidationOptions,
			{ lifeCodes: lifeCodesOf(args), ...base } as CrossValidationOptions,
			args.set,
			[
				{ flag: '<meds>', path: 'meds', value: args.meds },
				{ flag: '--folds', path: 'folds', value: args.folds },
				{ flag: '--repeats', path: 'repeats', value: args.repeats },
				...comparisonFlags(args),
			],
		);
		const device = deviceOf(context, args.device);
		context.say(`writing to ${args.out}; Ctrl-C stops at a safe point, the same command continues`);
		const result = await crossValidate(args.out, options, { ...context.operation(), device });
		context.result(
			[
				crossValidationSummary(result),
				'',
				`took ${duration((performance.now() - started) / 1000)}; tables: ${join(args.out, 'cross-validation.md')}`,
			].join('\n'),
			result,
		);
	});
}
