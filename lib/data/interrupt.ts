import { AbortedError } from '../errors.js';
import type { Database } from './query.js';

/**
 * Runs queries that an `AbortSignal` stops while they run, not only between them.
 *
 * @throws {AbortedError} When the signal fired, whatever the interrupted query said.
 */
export async function interruptible<T>(
	scope: string,
	database: Database,
	signal: AbortSignal | undefined,
	work: () => Promise<T>,
): Promise<T> {
	const aborted = () => new AbortedError(`[${scope}] aborted`, { cause: signal?.reason });
	if (signal?.aborted) throw aborted();
	const interrupt = () => database.connection.interrupt();
	signal?.addEventListener('abort', interrupt);
	try {
		return await work();
	} catch (error) {
		if (signal?.aborted) throw aborted();
		throw error;
	} finally {
		signal?.removeEventListener('abort', interrupt);
	}
}
