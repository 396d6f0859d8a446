import { join, resolve } from 'node:path';
import type { Argv } from 'yargs';
import { parseConfig } from '../../config.js';
import { withContext } from '../context.js';
import { DemoOptions, demoFolder, demoTraining, runDemo } from '../demo-pipeline.js';
import { deviceOf, deviceOption } from '../device-option.js';
import { lifeCodesOf, withLifeCodes } from '../life-code-options.js';
import { probeTable } from '../probe-table.js';
import { duration } from '../progress-line.js';
import { setOption } from '../settings.js';

const defaultFolder = join('runs', 'demo');

export const builder = (yargs: Argv) =>
	withLifeCodes(yargs)
		.option('meds', { type: 'string', describe: 'MEDS data set to run on; default: simulated patients' })
		.option('out', {
			type: 'string',
			describe: `Folder of everything the demo makes (default: ${defaultFolder}, numbered when taken)`,
		})
		.option('set', {
			...setOption,
			describe: 'path=value: any training option by its path, such as optimizer.learningRate=1e-4; once per option',
		})
		.option('patients', { type: 'number', default: 2000, describe: 'Simulated patients' })
		.option('steps', { type: 'number', default: 1000, describe: 'Updates of each training' })
		.option('seed', { type: 'number', default: 1, describe: 'Initial weights, batches, index dates, resamples' })
		.option('device', deviceOption)
		.example('$0 demo', 'Simulated patients; about fifteen minutes on two cores')
		.example('$0 demo --meds path/to/meds --out runs/mine', 'The same on your own records');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const options = parseConfig('demo', DemoOptions, {
			meds: args.meds === undefined ? null : resolve(args.meds),
			patients: args.patients,
			steps: args.steps,
			seed: args.seed,
			train: demoTraining(args.set),
			lifeCodes: lifeCodesOf(args),
		});
		const device = deviceOf(context, args.device);
		const folder = await demoFolder(args.out ?? defaultFolder, args.out !== undefined, options);
		context.say(`writing to ${folder}; Ctrl-C stops at a safe point, the same command continues`);
		const result = await runDemo(folder, options, context, device);
		const total = Object.values(result.stageSeconds).reduce((sum, seconds) => sum + seconds, 0);
		context.result(
			[
				probeTable(result.evaluation),
				'',
				`took ${duration(total)}, peak memory ${result.peakRssMiB} MiB`,
				`report: ${result.report}`,
			].join('\n'),
			{
				folder,
				report: result.report,
				evaluation: join(folder, 'evaluation.json'),
				stageSeconds: result.stageSeconds,
				peakRssMiB: result.peakRssMiB,
			},
		);
	});
}
