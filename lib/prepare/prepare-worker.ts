/** A thread of `prepare`: parts in, files of the store out. */
import { loadNames } from '../data/event-parts.js';
import { LifeCodes } from '../data/life-codes.js';
import { Database } from '../data/query.js';
import { SubjectSplits } from '../data/subject-splits.js';
import { serveTasks } from '../threads/serve-tasks.js';
import { CodeStatistics } from '../tokenizer/code-statistics.js';
import { fitPart } from './fit-part.js';
import type { PrepareAnswer, PrepareTask, PrepareThreadData } from './prepare-tasks.js';
import { PartTokeniser } from './tokenise-part.js';

// A message for each chunk of 2,048 events would cost more than reading it.
const eventsPerReport = 100_000;

serveTasks<PrepareThreadData, PrepareTask, PrepareAnswer>(async (data, stopped) => {
	const { source, splits: shared, lifeCodes, folder } = data;
	const splits = new SubjectSplits(shared);
	const database = await Database.open({ threads: 1, memoryLimit: '400MB' });
	stopped.addEventListener('abort', () => database.connection.interrupt());
	const names = await loadNames(database, source).catch(async (error: unknown) => {
		await database.close();
		throw error;
	});
	let statistics: CodeStatistics | undefined;
	let tokeniser: PartTokeniser | undefined;
	const perform = async (task: PrepareTask, onEvents: (events: number) => void): Promise<PrepareAnswer> => {
		switch (task.kind) {
			case 'begin-fit':
				statistics = new CodeStatistics(task.options);
				return;
			case 'fit':
				return fitPart(database, source, splits, task.part, statistics!, onEvents, stopped);
			case 'end-fit': {
				const fitted = statistics!.data();
				statistics = undefined;
				return fitted;
			}
			case 'begin-tokenise':
				tokeniser = await PartTokeniser.create(database, source, names, splits, task.plan, new LifeCodes(lifeCodes));
				return;
			case 'tokenise':
				return tokeniser!.write(folder, task.number, task.part, onEvents, stopped);
		}
	};
	return {
		async answer(task, onProgress) {
			let unreported = 0;
			const report = () => {
				if (unreported > 0) onProgress(unreported);
				unreported = 0;
			};
			const answer = await perform(task, (events) => {
				unreported += events;
				if (unreported >= eventsPerReport) report();
			});
			report();
			return answer;
		},
		close: () => database.close(),
	};
});
