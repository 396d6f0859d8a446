import type { Argv } from 'yargs';
import { simulateCohort } from '../../cohort/simulate.js';
import { withContext } from '../context.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for the MEDS data set' })
		.option('patients', { type: 'number', default: 2000, describe: 'Patients to simulate' })
		.option('seed', { type: 'number', default: 7, describe: 'Every random draw comes from it' })
		.option('min-years', { type: 'number', default: 3, describe: 'Shortest follow-up' })
		.option('max-years', { type: 'number', default: 8, describe: 'Longest follow-up' })
		.option('latent-patients', { type: 'number', describe: 'Patients whose true states are written; all without it' })
		.option('threads', { type: 'number', describe: 'Worker threads; one per core without it' })
		.example('$0 simulate cohort --patients 500', 'MEDS 0.4 in cohort/, true states in cohort/latents/');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { out, patients, seed, minYears, maxYears, latentPatients, threads } = args;
		const summary = await simulateCohort(
			out,
			{ patients, seed, minYears, maxYears, latentPatients, threads },
			context.operation(),
		);
		const { events, deaths, splits } = summary;
		context.result(
			`${out}: ${patients} patients (${splits.train} train, ${splits.tuning} tuning, ${splits.held_out} held out), ${events} events, ${deaths} deaths`,
			{ out, ...summary },
		);
	});
}
