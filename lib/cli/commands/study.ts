import { join } from 'node:path';
import type { Argv } from 'yargs';
import { StudyOptions } from '../../study/options.js';
import { runStudy } from '../../study/study.js';
import { studySummary } from '../../study/study-markdown.js';
import { comparisonFlags, withComparison } from '../comparison-options.js';
import { withContext } from '../context.js';
import { deviceOf } from '../device-option.js';
import { duration } from '../progress-line.js';
import { applySettings, configFile } from '../settings.js';

export const builder = (yargs: Argv) =>
	withComparison(yargs, 'all but fast')
		.option('out', { type: 'string', default: join('runs', 'study'), describe: 'Folder of the study' })
		.option('seeds', {
			type: 'number',
			describe: 'Seeds; each gives every variant the same initial weights (default 3)',
		})
		.option('patients', { type: 'number', describe: 'Simulated patients (default 3000)' })
		.example('$0 study', 'The study of docs/study.md; the same command goes on after an interruption')
		.example('$0 study --seeds 2 --steps 100', 'A small one');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const started = performance.now();
		const base: StudyOptions = await configFile('study', args.config);
		const options = applySettings('study', StudyOptions, base, args.set, [
			{ flag: '--seeds', path: 'seeds', value: args.seeds },
			{ flag: '--patients', path: 'patients', value: args.patients },
			...comparisonFlags(args),
		]);
		const device = deviceOf(context, args.device);
		context.say(`writing to ${args.out}; Ctrl-C stops at a safe point, the same command continues`);
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
