import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Measured, Variant } from './own.js';

export const peerModes = ['eager', 'autocast', 'bfloat16', 'compiled'] as const;
export type PeerMode = (typeof peerModes)[number];

const root = new URL('../../../', import.meta.url);
const script = fileURLToPath(new URL('bench/peers/train_step.py', root));

const Versions = z.strictObject({ torch: z.string(), transformers: z.string(), nativeBfloat16: z.boolean() });

/** A Python that has torch and transformers. */
export interface Peer extends z.infer<typeof Versions> {
	readonly python: string;
}

/** The one that bench/peers/set_up.py made, else `python3`. @returns Null where neither has what the peer needs. */
export function findPeer(): Peer | null {
	for (const python of [fileURLToPath(new URL('build/peers/bin/python', root)), 'python3']) {
		if (python !== 'python3' && !existsSync(python)) continue;
		const { status, stdout } = spawnSync(python, [script, '--check'], { encoding: 'utf8' });
		if (status === 0) return { python, ...Versions.parse(JSON.parse(stdout)) };
	}
	return null;
}

/** Steps of the peer, in a process of its own. */
export async function measurePeer(
	{ python }: Peer,
	asked: {
		readonly folder: string;
		readonly batch: string;
		readonly variant: Variant;
		readonly mode: PeerMode;
		readonly steps: number;
		readonly threads: number;
	},
): Promise<Measured> {
	const { folder, batch, variant, mode, steps, threads } = asked;
	const child = spawn(python, [script, folder, batch, variant, mode, String(steps), String(threads)], {
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	let [output, errors] = ['', ''];
	child.stdout.on('data', (text: Buffer) => {
		output += text.toString();
	});
	child.stderr.on('data', (text: Buffer) => {
		errors += text.toString();
	});
	const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
	if (code !== 0) throw new Error(`[bench] the peer must end well but exited with ${code}:\n${errors.slice(-2000)}`);
	return JSON.parse(output) as Measured;
}
