/** A thread of part-pool.ts: parts in, files of the store out. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadNames } from '../data/event-parts.js';
import { Database } from '../data/query.js';
import { SubjectSplits } from '../data/subject-splits.js';
import { CodeStatistics } from '../tokenizer/code-statistics.js';
import { fitPart } from './fit-part.js';
import type { PrepareAnswer, PrepareTask, PrepareThreadData } from './prepare-tasks.js';
import { toThreadError } from './thread-error.js';
import { PartTokeniser } from './tokenise-part.js';

const { source, splits: shared, folder } = workerData as PrepareThreadData;
const splits = new SubjectSplits(shared);
const ready = Database.open({ threads: 1, memoryLimit: '400MB' }).then(async (database) => ({
	database,
	names: await loadNames(database, source),
}));
ready.catch(() => {}); // surfaces with the first task

let statistics: CodeStatistics | undefined;
let tokeniser: PartTokeniser | undefined;
const post = (answer: PrepareAnswer) => parentPort?.postMessage(answer);
// A message for each chunk of 2,048 events would cost more than reading it.
const eventsPerReport = 100_000;
let unreported = 0;
const report = () => {
	post({ kind: 'progress', events: unreported });
	unreported = 0;
};
const progress = (events: number) => {
	unreported += events;
	if (unreported >= eventsPerReport) report();
};

async function answer(task: PrepareTask): Promise<PrepareAnswer> {
	const { database, names } = await ready;
	switch (task.kind) {
		case 'begin-fit':
			statistics = new CodeStatistics(task.options);
			break;
		case 'fit':
			await fitPart(database, source, splits, task.part, statistics!, progress);
			break;
		case 'end-fit': {
			const data = statistics!.data();
			statistics = undefined;
			return { kind: 'statistics', statistics: data };
		}
		case 'begin-tokenise':
			tokeniser = await PartTokeniser.create(database, source, names, splits, task.plan);
			break;
		case 'tokenise':
			await tokeniser!.write(folder, task.number, task.part, progress);
			break;
	}
	if (unreported > 0) report();
	return { kind: 'done' };
}

parentPort?.on('message', (task: PrepareTask) => {
	answer(task).then(post, (error: unknown) => post({ kind: 'failed', error: toThreadError(error) }));
});
