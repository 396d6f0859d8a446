import type { ErrorDescription } from '../errors.js';

/** To a thread. `stop` ends it, in the middle of a task if there is one; its exit is the answer. */
export type Request<Task> = { readonly kind: 'task'; readonly task: Task } | { readonly kind: 'stop' };

/** From a thread. Tasks are answered in the order in which they were given. */
export type Reply<Answer> =
	| { readonly kind: 'progress'; readonly amount: number }
	| { readonly kind: 'done'; readonly answer: Answer }
	| { readonly kind: 'failed'; readonly error: ErrorDescription };
