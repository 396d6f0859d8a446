/** One rank of several runs, as torchrun would start it, or a process on its own: prints what it sent in a step of each. */
import { join } from 'node:path';
import { openTokenStore, ProcessGroup, type TrainConfigInput, Trainer } from '../../lib/index.js';

const [store, folder, configs, device] = process.argv.slice(2) as [string, string, string, 'cpu' | 'cuda'];
await using group = await ProcessGroup.join();
await using opened = await openTokenStore(store);
const sent = () => {
	if (group === undefined) return { all: 0, staged: 0 };
	const { gather, swap, spread, staged } = group.traffic;
	return { all: gather.sent + swap.sent + spread.sent, staged: staged.sent };
};
const ofRuns: { readonly all: number; readonly staged: number; readonly peakRss: number }[] = [];
for (const [i, config] of (JSON.parse(configs) as TrainConfigInput[]).entries()) {
	await using trainer = await Trainer.create(join(folder, `run-${i}`), opened, config, { group, device });
	const after: ReturnType<typeof sent>[] = [];
	for await (const _ of trainer.run(opened)) after.push(sent());
	// The first step finds out what others need not, and the last one reads the monitors.
	const [before, now] = [after[0]!, after[1]!];
	const peakRss = process.resourceUsage().maxRSS * 1024;
	ofRuns.push({ all: now.all - before.all, staged: now.staged - before.staged, peakRss });
}
process.stdout.write(`${JSON.stringify(ofRuns)}\n`);
