import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeAddon } from '../../lib/native.js';
import { inOwnProcess } from '../stages/own-process.js';
import { fixedBatch } from './fixed-batch.js';
import { oneThreadAgainstAll, type ThreadsRow } from './one-thread.js';
import type { Asked, Dtype, Measured, Variant } from './own.js';
import { findPeer, measurePeer, type Peer, type PeerMode } from './peer.js';
import { median, quantile } from './quantile.js';
import { type BenchShapeName, benchShapes, forwardFlops, stepFlops } from './shapes.js';

export interface PeerOptions {
	readonly shapes: readonly BenchShapeName[];
	readonly variants: readonly Variant[];
	readonly modes: readonly PeerMode[];
	readonly dtypes: readonly Dtype[];
	readonly steps: number;
	readonly rounds: number;
}

/** Goals: how many times as fast ours must be. */
const goals: Readonly<Record<Variant, Readonly<Record<BenchShapeName, number>>>> = {
	sft: { demo: 2.5, '27m': 1.5, 'qwen3-4-layers': 2 },
	masked: { demo: 2, '27m': 2, 'qwen3-4-layers': 2 },
	query: { demo: 3, '27m': 3, 'qwen3-4-layers': 3 },
	embed: { demo: 2, '27m': 2, 'qwen3-4-layers': 1 },
};

/** Between losses or states from the same weights: bfloat16 keeps 8 bits. */
const tolerance = (name: string) => (name === 'float32' || name === 'eager' ? 1e-4 : 3e-2);

interface Timing {
	readonly p20: number;
	readonly median: number;
	readonly p80: number;
}

interface Row {
	readonly name: string;
	readonly ours: Timing & { readonly dtype: Dtype; readonly peakMiB: number };
	readonly peer: (Timing & { readonly mode: PeerMode; readonly peakMiB: number }) | null;
	/** How many times as fast ours is; each round's beside their median. */
	readonly ratio: number | null;
	readonly ratios: readonly number[];
	readonly goal: number;
	readonly gigaflopsPerSecond: number | null;
	/** Of a step of ours, outside native code: under 1 ms and under 1 % of it. */
	readonly outsideMilliseconds: number;
}

function timing(found: readonly Measured[]): Timing & { readonly peakMiB: number } {
	const seconds = found.flatMap((each) => each.seconds);
	const peakMiB = Math.round(Math.max(...found.map((each) => each.peakMiB)));
	return { p20: quantile(seconds, 0.2), median: median(seconds), p80: quantile(seconds, 0.8), peakMiB };
}

/** Throws when two programs do not find the same from the same weights. */
function requireSame(what: string, name: string, ours: Measured, peer: Measured): void {
	for (const [place, found] of ours.checked.entries()) {
		const expected = peer.checked[place]!;
		if (!(Math.abs(found - expected) <= tolerance(name) * Math.max(1, Math.abs(expected))))
			throw new Error(`[bench] ${what}: number ${place + 1} must be the peer's (${expected}) but is ${found}`);
	}
}

const fastest = <Name>(found: ReadonlyMap<Name, readonly Measured[]>): [Name, readonly Measured[]] =>
	[...found].reduce((best, each) => (timing(each[1]).median < timing(best[1]).median ? each : best));

/** Of one step; of an objective with branches nobody agrees what to count. */
function flopsOf(variant: Variant, name: BenchShapeName): number | null {
	if (variant === 'sft') return stepFlops(benchShapes[name]);
	return variant === 'embed' ? forwardFlops(benchShapes[name]) : null;
}

/** Each implementation in a process of its own, in turns; the best dtype of ours against the best mode of the peer. */
async function compare(
	name: BenchShapeName,
	variant: Variant,
	files: { readonly folder: string; readonly batch: string },
	peer: Peer | null,
	options: PeerOptions,
): Promise<Row> {
	const { steps } = options;
	const threads = availableParallelism();
	const ours = new Map<Dtype, Measured[]>(options.dtypes.map((dtype) => [dtype, []]));
	const theirs = new Map<PeerMode, Measured[]>(peer === null ? [] : options.modes.map((mode) => [mode, []]));
	const what = `${variant} ${name}`;
	for (let round = 0; round < options.rounds; round++) {
		for (const [dtype, found] of ours) {
			found.push(await inOwnProcess<Measured>(own, what, { ...files, variant, dtype, steps, threads } satisfies Asked));
			tell(`${what}, ours, ${dtype}`, found.at(-1)!);
		}
		for (const [mode, found] of theirs) {
			// The peer has no cheaper way to predict: its masked step stands for queries too.
			const asked = { ...files, variant: variant === 'query' ? 'masked' : variant, mode, steps, threads } as const;
			found.push(await measurePeer(peer!, asked));
			tell(`${what}, peer, ${mode}`, found.at(-1)!);
		}
	}
	const [dtype, best] = fastest(ours);
	const goal = goals[variant][name];
	const flops = flopsOf(variant, name);
	const gigaflopsPerSecond = flops === null ? null : flops / timing(best).median / 1e9;
	// The median: once in some seconds, V8 cleans up in a pause, which takes tens of milliseconds.
	const outsideMilliseconds = 1000 * median(best.flatMap(({ outsideSeconds = [] }) => outsideSeconds));
	const row = {
		name: `${variant} vs pytorch ${name}`,
		ours: { dtype, ...timing(best) },
		goal,
		gigaflopsPerSecond,
		outsideMilliseconds,
	};
	if (theirs.size === 0) return { ...row, peer: null, ratio: null, ratios: [] };
	if (variant !== 'query') {
		for (const [dtype, found] of ours)
			for (const [mode, peers] of theirs)
				requireSame(what, dtype === 'float32' && mode === 'eager' ? 'float32' : 'bfloat16', found[0]!, peers[0]!);
	}
	const [mode, bestPeer] = fastest(theirs);
	const ratios = bestPeer.map((found, round) => median(found.seconds) / median(best[round]!.seconds));
	return { ...row, peer: { mode, ...timing(bestPeer) }, ratio: median(ratios), ratios };
}

const own = new URL('own.js', import.meta.url);
const tell = (what: string, { seconds, checked }: Measured) =>
	process.stderr.write(`${what.padEnd(36)} ${seconds.map((s) => s.toFixed(3)).join(' ')} s, found ${checked[0]}\n`);

/** `npm run bench -- train-step --peers`. @returns What goes to the file. */
export async function againstPeers(options: PeerOptions): Promise<object> {
	const peer = findPeer();
	if (peer === null)
		console.log('no Python with torch and transformers: ours alone (python3 bench/peers/set_up.py sets the peer up)');
	const rows: Row[] = [];
	const threads: ThreadsRow[] = [];
	for (const name of options.shapes) {
		const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-bench-'));
		try {
			const files = { folder: join(folder, 'model'), batch: join(folder, 'batch.json') };
			writeFileSync(files.batch, JSON.stringify(fixedBatch(benchShapes[name])));
			await inOwnProcess(own, `weights of ${name}`, { write: name, folder: files.folder } satisfies Asked);
			for (const variant of options.variants) rows.push(await compare(name, variant, files, peer, options));
			const { steps, rounds } = options;
			threads.push(await oneThreadAgainstAll(name, { ...files, dtype: options.dtypes[0]!, steps }, rounds));
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	}
	const { torch, cpuCapability } = nativeAddon().buildInfo();
	const machine = { processor: cpus()[0]?.model, cores: availableParallelism(), cpuCapability };
	const versions = { ours: torch, peer: peer && { torch: peer.torch, transformers: peer.transformers } };
	print(rows, threads, { ...machine, versions });
	return { machine, versions, steps: options.steps, rounds: options.rounds, rows, threads };
}

function print(rows: readonly Row[], threads: readonly ThreadsRow[], about: object): void {
	console.log(JSON.stringify(about));
	for (const { name, ours, peer, ratio, ratios, goal, gigaflopsPerSecond } of rows) {
		const spread = ({ p20, median, p80 }: Timing) => `${median.toFixed(3)} s (${p20.toFixed(3)} to ${p80.toFixed(3)})`;
		const speed = gigaflopsPerSecond === null ? '' : `, ${gigaflopsPerSecond.toFixed(0)} GF/s`;
		const first = `${name.padEnd(30)} ours ${spread(ours)}, ${ours.dtype}, ${ours.peakMiB} MiB${speed}`;
		if (peer === null || ratio === null) {
			console.log(first);
			continue;
		}
		const verdict = ratio >= goal ? 'met' : 'NOT met';
		const each = ratios.map((value) => value.toFixed(2)).join(' ');
		console.log(`${first}; peer ${spread(peer)}, ${peer.mode}, ${peer.peakMiB} MiB`);
		console.log(`${''.padEnd(30)} ${ratio.toFixed(2)}x (rounds ${each})  at least ${goal}: ${verdict}`);
	}
	for (const { name, ours, outsideMilliseconds } of rows) {
		const share = (outsideMilliseconds / ours.median / 10).toFixed(2);
		console.log(`${name.padEnd(30)} outside native code ${outsideMilliseconds.toFixed(2)} ms a step, ${share} %`);
	}
	for (const { name, ratio, goal } of threads)
		console.log(`${name.padEnd(30)} ${ratio.toFixed(2)}x  at least ${goal}: ${ratio >= goal ? 'met' : 'NOT met'}`);
}
