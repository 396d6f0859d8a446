import { Thread, type ThreadOptions } from './thread.js';

/** Threads that share tasks of one kind. Which of them does which task must change nothing in the result. */
export class ThreadPool<Task, Answer> {
	readonly #threads: readonly Thread<Task, Answer>[];

	constructor(threads: number, options: ThreadOptions) {
		this.#threads = Array.from({ length: threads }, () => new Thread<Task, Answer>(options));
	}

	/** Has every thread do the same. */
	all(task: Task): Promise<Answer[]> {
		return Promise.all(this.#threads.map((thread) => thread.ask(task)));
	}

	/**
	 * Does the tasks in order, each by the next thread that is free. The first failure ends the waiting, not the threads.
	 *
	 * @returns Answers in the order of the tasks.
	 */
	async each(tasks: readonly Task[], onProgress?: (amount: number) => void): Promise<Answer[]> {
		const answers = new Array<Answer>(tasks.length);
		let next = 0;
		await Promise.all(
			this.#threads.map(async (thread) => {
				while (next < tasks.length) {
					const number = next++;
					answers[number] = await thread.ask(tasks[number]!, onProgress);
				}
			}),
		);
		return answers;
	}

	/** Ends the threads, also those in the middle of a task. */
	async close(): Promise<void> {
		await Promise.all(this.#threads.map((thread) => thread.close()));
	}
}
