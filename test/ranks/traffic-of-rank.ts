/** One rank of several runs, as torchrun would start it: prints what it sent in a step of each. */
import { join } from 'node:path';
import { openTokenStore, ProcessGroup, type TrainConfigInput, Trainer } from '../../lib/index.js';

const [store, folder, configs] = process.argv.slice(2) as [string, string, string];
await using group = (await ProcessGroup.join())!;
await using opened = await openTokenStore(store);
const sent = () => {
	const { gather, swap, spread } = group.traffic;
	return gather.sent + swap.sent + spread.sent;
};
const ofRuns: number[] = [];
for (const [i, config] of (JSON.parse(configs) as TrainConfigInput[]).entries()) {
	await using trainer = await Trainer.create(join(folder, `run-${i}`), opened, config, { group });
	const after: number[] = [];
	for await (const _ of trainer.run(opened)) after.push(sent());
	ofRuns.push(after[1]! - after[0]!);
}
process.stdout.write(`${JSON.stringify(ofRuns)}\n`);
