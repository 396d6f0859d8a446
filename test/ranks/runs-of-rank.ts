/** One rank of several runs, as torchrun would start it, or a process on its own: prints what it sent in a step of each. */
import { join } from 'node:path';
import { openTokenStore, ProcessGroup, Trainer } from '../../lib/index.js';
import type { RunOfRank, RunOfRanks } from './launched.js';

const [store, folder, runs, device] = process.argv.slice(2) as [string, string, string, 'cpu' | 'cuda'];
await using group = await ProcessGroup.join();
await using opened = await openTokenStore(store);
const sent = () => {
	if (group === undefined) return { all: 0, staged: 0 };
	const { gather, swap, spread, staged } = group.traffic;
	return { all: gather.sent + swap.sent + spread.sent, staged: staged.sent };
};
const ofRuns: RunOfRank[] = [];
for (const [i, run] of (JSON.parse(runs) as RunOfRanks[]).entries()) {
	await using trainer =
		'goesOn' in run
			? await Trainer.resume(run.goesOn, opened, { steps: run.steps, kind: run.kind, group, device })
			: await Trainer.create(join(folder, `run-${i}`), opened, run, { group, device });
	const after: ReturnType<typeof sent>[] = [];
	for await (const _ of trainer.run(opened)) after.push(sent());
	// The first step finds out what others need not, and the last one reads the monitors.
	const [before, now] = after;
	const peakRss = process.resourceUsage().maxRSS * 1024;
	const known = before !== undefined && now !== undefined;
	ofRuns.push({
		all: known ? now.all - before.all : 0,
		staged: known ? now.staged - before.staged : 0,
		peakRss,
	});
}
process.stdout.write(`${JSON.stringify(ofRuns)}\n`);
