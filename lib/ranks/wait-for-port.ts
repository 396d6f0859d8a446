import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AbortedError } from '../errors.js';

const attemptMs = 2000;
const pauseMs = 50;

/**
 * Waits until something listens at an address.
 *
 * @returns Why nothing did within the time; undefined when something does.
 * @throws {AbortedError}
 */
export async function waitForPort(
	address: string,
	port: number,
	seconds: number,
	signal?: AbortSignal,
): Promise<string | undefined> {
	const deadline = performance.now() + seconds * 1000;
	for (;;) {
		if (signal?.aborted) throw new AbortedError('[ranks] aborted', { cause: signal.reason });
		const failure = await tryToConnect(address, port);
		if (failure === undefined || performance.now() > deadline) return failure;
		await sleep(pauseMs);
	}
}

function tryToConnect(host: string, port: number): Promise<string | undefined> {
	return new Promise((resolve) => {
		const socket = connect({ host, port });
		const end = (failure: string | undefined) => {
			socket.destroy();
			resolve(failure);
		};
		socket.setTimeout(attemptMs, () => end('no answer'));
		socket.once('connect', () => end(undefined));
		socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
	});
}
