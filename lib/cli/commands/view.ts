import type { Argv } from 'yargs';
import { viewRuns } from '../../view/view.js';
import { withContext } from '../context.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('directory', { type: 'string', demandOption: true, describe: 'A run, or a folder with runs' })
		.option('port', { type: 'number', default: 0, describe: 'Port on 127.0.0.1; 0 is any free one' })
		.example('$0 view runs', 'Prints the address of the page; Ctrl-C ends it');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { directory, port } = args;
		const view = await viewRuns(directory, { port }, { signal: context.signal });
		context.result(view.address, { address: view.address, port: view.port });
		context.say('Ctrl-C ends it. Whoever has the address can see the runs.');
		await view.closed;
	});
}
