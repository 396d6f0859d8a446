import { join } from 'node:path';
import type { Argv } from 'yargs';
import { type ModelSize, modelSizes } from '../../model/qwen3-config.js';
import { StudyOptions, variantNames } from '../../study/options.js';
import { runStudy } from '../../study/study.js';
import { studySummary } from '../../study/study-markdown.js';
import { withContext } from '../context.js';
import { deviceOf, deviceOption } from '../device-option.js';
import { duration } from '../progress-line.js';
import { applySettings, configFile, setOption } from '../settings.js';

export const command = 'study';
export const describe = 'Compare the training objectives over seeds on simulated patients';

export const builder = (yargs: Argv) =>
	yargs
		.option('out', { type: 'string', default: join('runs', 'study'), describe: 'Folder of the study' })
		.option('config', {
			type: 'string',
			describe: 'JSON file with any option of a study; the options below win over it',
		})
		.option('set', setOption)
		.option('seeds', {
			type: 'number',
			describe: 'Seeds; each gives every variant the same initial weights (default 3)',
		})
		.option('variants', {
			type: 'string',
			array: true,
			choices: variantNames,
			describe: 'Objectives to compare (default: all but fast)',
		})
		.option('patients', { type: 'number', describe: 'Simulated patients (default 3000)' })
		.option('steps', { type: 'number', describe: 'Updates of each run (default 1000)' })
		.option('size', {
			choices: Object.keys(modelSizes) as ModelSize[],
			describe: 'Shape of the decoder (default demo)',
		})
		.option('device', deviceOption)
		.example('$0 study', 'The study of docs/study.md; the same command goes on after an interruption')
		.example('$0 study --seeds 2 --steps 100', 'A small one');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const started = performance.now();
		const device = deviceOf(context, args.device);
		context.say(`writing to ${args.out}; Ctrl-C stops at a safe point, the same command continues`);
		const base: StudyOptions = await configFile('study', args.config);
		const options = applySettings('study', StudyOptions, base, args.set, [
			{ flag: '--seeds', path: 'seeds', value: args.seeds },
			{ flag: '--variants', path: 'variants', value: args.variants },
			{ flag: '--patients', path: 'patients', value: args.patients },
			{ flag: '--steps', path: 'steps', value: args.steps },
			{ flag: '--size', path: 'model', value: args.size && modelSizes[args.size] },
		]);
		const result = await runStudy(args.out, options, { ...context.operation(), device });
		context.result(
			[
				studySummary(result),
				'',
				`took ${duration((performance.now() - started) / 1000)}; tables: ${join(args.out, 'study.md')}`,
			].join('\n'),
			result,
		);
	});
}
