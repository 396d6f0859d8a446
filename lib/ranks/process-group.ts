import { z } from 'zod';
import { parseConfig } from '../config.js';
import { AbortedError, EhrJepaError, RankError } from '../errors.js';
import { type NativeProcessGroup, type NativeTraffic, nativeAddon, nativeCall } from '../native.js';
import { requireEqual } from './agreement.js';
import { meetingPlace, type Place, placeInEnvironment } from './environment.js';
import { waitForPort } from './wait-for-port.js';

const seconds = z.number().positive().max(1e6);
/** How long ranks wait for one another. */
export const GroupTimeouts = z.strictObject({
	/** Seconds until all ranks must have come. */
	rendezvousTimeout: seconds.default(300),
	/** Seconds until all ranks must have come to a step, or to what else they do together. */
	collectiveTimeout: seconds.default(600),
});
export type GroupTimeouts = z.input<typeof GroupTimeouts>;

// A rank that gives no sign of life for so long is dead or cut off; with what follows, all ranks end within 30 s.
const silenceSeconds = 12;
const watchMs = 250;
// In which ranks that are started together come.
const reportSeconds = 20;

/**
 * The processes that train one model together, one a device: PyTorch's c10d (Gloo) between them. Every rank makes the same
 * calls in the same order.
 *
 * @example
 * ```ts
 * await using group = await ProcessGroup.join(); // undefined for a process on its own
 * await using trainer = await Trainer.create('runs/first', store, { steps: 200 }, { group });
 * ```
 */
export class ProcessGroup {
	readonly rank: number;
	readonly size: number;
	/** Among the processes of this machine. */
	readonly localRank: number;
	/** Processes of this machine. */
	readonly localSize: number;
	/** How often the launcher has started all ranks again: from 1 on they go on from the newest checkpoint. */
	readonly attempt: number;
	/** Aborted with a {@link RankError} when another rank fails, dies or falls silent. */
	readonly signal: AbortSignal;
	readonly #native: NativeProcessGroup;
	readonly #watch: NodeJS.Timeout;
	#nextJob = 1;

	private constructor(place: Place, native: NativeProcessGroup) {
		this.rank = place.rank;
		this.size = place.worldSize;
		this.localRank = place.localRank;
		this.localSize = place.localSize;
		this.attempt = place.attempt;
		this.#native = native;
		const controller = new AbortController();
		this.signal = controller.signal;
		this.#watch = setInterval(() => {
			const failure = native.failure();
			if (failure === null) return;
			clearInterval(this.#watch);
			controller.abort(new RankError(failure));
		}, watchMs).unref();
	}

	/**
	 * Meets the other ranks, as the environment says who they are (docs/cluster.md).
	 *
	 * @returns Undefined for a process on its own; nothing is set up then.
	 * @throws {ConfigError} For a variable that is missing or contradicts another; {RankError} When a rank does not come, the port
	 * is taken, or two processes are one rank; {AbortedError}.
	 */
	static async join(
		options: GroupTimeouts & { readonly signal?: AbortSignal | undefined } = {},
	): Promise<ProcessGroup | undefined> {
		const { signal, ...given } = options;
		const { rendezvousTimeout, collectiveTimeout } = parseConfig('ranks', GroupTimeouts, given);
		const place = placeInEnvironment();
		if (place === undefined) return undefined;
		const { address, port, rank, worldSize, attempt, launcherServes } = place;
		const servesStore = rank === 0 && !launcherServes;
		const started = performance.now();
		const missing = servesStore ? undefined : await waitForPort(address, port, rendezvousTimeout, signal);
		if (missing !== undefined) {
			throw new RankError(
				`[ranks] rank 0 must serve ${address}:${port} (MASTER_ADDR, MASTER_PORT) within ${rendezvousTimeout} s but rank ${rank} finds nothing there (${missing}); look at what ended rank 0, or give a longer --rendezvous-timeout`,
			);
		}
		// In whole seconds: an error names what is left, of rank 0 the time that was given.
		const waited = Math.floor((performance.now() - started) / 1000);
		const native = new (nativeAddon().ProcessGroup)({
			...groupOptionsOf({ rank, worldSize, address, port, attempt, servesStore }),
			rendezvousTimeout: Math.max(1, rendezvousTimeout - waited),
			collectiveTimeout,
		});
		const cancel = () => native.cancel(0);
		signal?.addEventListener('abort', cancel, { once: true });
		try {
			await nativeCall(() => native.join(0));
			return new ProcessGroup(place, native);
		} catch (cause) {
			await native.close();
			throw cause;
		} finally {
			signal?.removeEventListener('abort', cancel);
		}
	}

	/**
	 * Tells the ranks that wait for this process why it does not join them, so that they end at once. Does nothing for a process on
	 * its own, or where they are not found; returns after some seconds at the latest.
	 *
	 * @param why - Of this process: the message of its error.
	 */
	static async reportFailure(why: string, signal?: AbortSignal): Promise<void> {
		const place = meetingPlace();
		if (place === undefined || signal?.aborted) return;
		const { address, port, rank, worldSize, attempt, launcherServes } = place;
		const servesStore = rank === 0 && !launcherServes;
		try {
			if (!servesStore && (await waitForPort(address, port, reportSeconds, signal)) !== undefined) return;
			const native = new (nativeAddon().ProcessGroup)({
				...groupOptionsOf({ rank: rank ?? -1, worldSize, address, port, attempt, servesStore }),
				rendezvousTimeout: reportSeconds,
				collectiveTimeout: reportSeconds,
			});
			const cancel = () => native.cancel(0);
			signal?.addEventListener('abort', cancel, { once: true });
			try {
				await nativeCall(() => native.report(0, why));
			} finally {
				signal?.removeEventListener('abort', cancel);
				await native.close();
			}
		} catch (cause) {
			// What is wrong here is said already; who cannot be told of it finds out by the time.
			if (!(cause instanceof EhrJepaError)) throw cause;
		}
	}

	/** The core's own, for an engine that joins it. */
	get native(): NativeProcessGroup {
		return this.#native;
	}

	/** Bytes that this rank has sent and got since the ranks met, by collective. */
	get traffic(): NativeTraffic {
		return this.#native.traffic();
	}

	/** A JSON value of every rank, in the order of the ranks. */
	async exchange<T>(value: T, signal?: AbortSignal): Promise<T[]> {
		if (signal?.aborted) throw new AbortedError('[ranks] aborted', { cause: signal.reason });
		const job = this.#nextJob++ >>> 0;
		const cancel = () => this.#native.cancel(job);
		signal?.addEventListener('abort', cancel, { once: true });
		try {
			const texts = await nativeCall(() => this.#native.exchange(job, JSON.stringify({ value })));
			return texts.map((text) => (JSON.parse(text) as { value: T }).value);
		} finally {
			signal?.removeEventListener('abort', cancel);
		}
	}

	/** What rank 0 finds, told to all. */
	async fromFirst<T>(find: () => Promise<T>): Promise<T> {
		const values = await this.exchange(this.rank === 0 ? await find() : undefined);
		return values[0] as T;
	}

	/** @throws {RankError} When ranks have other values: names the first such rank and the field. */
	async requireSame(value: Readonly<Record<string, unknown>>): Promise<void> {
		requireEqual(await this.exchange(value));
	}

	/** Ends the group for all ranks, which are told why; the first cause counts. @param why - Of this rank: `was stopped`. */
	fail(why: string): void {
		this.#native.fail(why);
	}

	/** Leaves; rank 0 waits some seconds until all have. Safe to call twice. */
	async close(): Promise<void> {
		clearInterval(this.#watch);
		await this.#native.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}

function groupOptionsOf({
	attempt,
	...place
}: Pick<Place, 'rank' | 'worldSize' | 'address' | 'port' | 'attempt'> & { readonly servesStore: boolean }) {
	return { ...place, prefix: `ehr-jepa/attempt-${attempt}`, silenceTimeout: silenceSeconds };
}
