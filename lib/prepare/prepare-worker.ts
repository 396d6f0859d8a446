/** A thread of part-pool.ts: parts in, files of the store out. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadNames } from '../data/event-parts.js';
import { LifeCodes } from '../data/life-codes.js';
import { Database } from '../data/query.js';
import { SubjectSplits } from '../data/subject-splits.js';
import { describeError } from '../errors.js';
import { CodeStatistics } from '../tokenizer/code-statistics.js';
import { fitPart } from './fit-part.js';
import type { PrepareAnswer, PrepareTask, PrepareThreadData } from './prepare-tasks.js';
import { PartTokeniser } from './tokenise-part.js';

const { source, splits: shared, lifeCodes, folder } = workerData as PrepareThreadData;
const splits = new SubjectSplits(shared);
const ready = Database.open({ threads: 1, memoryLimit: '400MB' }).then(async (database) => ({
	database,
	names: await loadNames(database, source),
}));
ready.catch(() => {}); // surfaces with the first task

const stop = new AbortController();
let running: Promise<void> = Promise.resolve();
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

async function answer(task: Exclude<PrepareTask, { readonly kind: 'stop' }>): Promise<PrepareAnswer> {
	const { database, names } = await ready;
	switch (task.kind) {
		case 'begin-fit':
			statistics = new CodeStatistics(task.options);
			break;
		case 'fit':
			await fitPart(database, source, splits, task.part, statistics!, progress, stop.signal);
			break;
		case 'end-fit': {
			const data = statistics!.data();
			statistics = undefined;
			return { kind: 'statistics', statistics: data };
		}
		case 'begin-tokenise':
			tokeniser = await PartTokeniser.create(database, source, names, splits, task.plan, new LifeCodes(lifeCodes));
			break;
		case 'tokenise':
			await tokeniser!.write(folder, task.number, task.part, progress, stop.signal);
			break;
	}
	if (unreported > 0) report();
	return { kind: 'done' };
}

/** The thread ends by itself: to terminate it while DuckDB works for it would end the process. */
async function end(): Promise<void> {
	stop.abort();
	const { database } = await ready.catch(() => ({ database: undefined }));
	database?.connection.interrupt();
	await running;
	await database?.close();
	parentPort?.close();
}

parentPort?.on('message', (task: PrepareTask) => {
	if (task.kind === 'stop') void end();
	else running = answer(task).then(post, (error: unknown) => post({ kind: 'failed', error: describeError(error) }));
});
