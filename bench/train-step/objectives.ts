/** What does the latent objective cost on top of an SFT-only step? Every variant runs in processes of its own, in turns. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { median } from './quantile.js';

const binary = fileURLToPath(new URL('../../../build/release/ehrjepa_bench', import.meta.url));
const variants = ['sft', 'query', 'masked', 'two-pass'] as const;
/** `monitors`: a masked run that reads the collapse monitors at every second step. */
type Variant = (typeof variants)[number] | 'monitors';
/** Of the SFT-only step; the packed rows must stay below, the two-pass row is what they replace. */
const limits: Partial<Record<Variant, number>> = { query: 1.42, masked: 1.85 };
/** Default interval of the monitors, and the share of a step that they may take. */
const monitorsEvery = 10;
const monitorsLimit = 0.02;

export interface ObjectiveOptions {
	/** Layers of the shape of Qwen3-1.7B. */
	readonly layers: number;
	/** Of the trunk, half of them context. */
	readonly tokens: number;
	/** Timed steps of a process; at least 2, one of them with a reading. */
	readonly steps: number;
	/** Processes of each variant. */
	readonly rounds: number;
	readonly dtype: 'float32' | 'bfloat16';
}

interface Measured {
	/** Steps of one process. */
	readonly seconds: number[];
	/** Of all threads: unlike wall time it hardly depends on what else the machine does. */
	readonly cpuSeconds: number[];
	readonly loss: number;
	readonly peakMiB: number;
}

async function measure(variant: Variant, { layers, tokens, steps, dtype }: ObjectiveOptions): Promise<Measured> {
	const child = spawn(binary, ['train-step', variant, ...[layers, tokens, steps, dtype].map(String)], {
		env: { GOMP_SPINCOUNT: '5000', ...process.env },
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	let output = '';
	let peakKiB = 0;
	child.stdout.on('data', (text: Buffer) => {
		output += text.toString();
	});
	// VmHWM is the peak itself; the last reading before the end misses only what a last instant adds.
	const watch = setInterval(() => {
		try {
			const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
			peakKiB = Math.max(peakKiB, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0));
		} catch {
			// Not Linux, or gone already.
		}
	}, 20);
	const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
	clearInterval(watch);
	if (code !== 0) throw new Error(`[bench] ehrjepa_bench must end well but exited with ${code}`);
	return { ...(JSON.parse(output) as Omit<Measured, 'peakMiB'>), peakMiB: peakKiB / 1024 };
}

/** @returns What goes to the file. */
export async function compareObjectives(options: ObjectiveOptions): Promise<object> {
	/** A process of each variant, one after the other. */
	const rounds: Record<Variant, Measured>[] = [];
	for (let round = 0; round < options.rounds; round++) {
		const found: Partial<Record<Variant, Measured>> = {};
		for (const variant of [...variants, 'monitors'] as const) {
			found[variant] = await measure(variant, options);
			process.stderr.write(`${variant.padEnd(10)} ${found[variant].seconds.map((s) => s.toFixed(2)).join(' ')} s\n`);
		}
		rounds.push(found as Record<Variant, Measured>);
	}
	const rows = variants.map((variant) => {
		// Within a round: a shared machine is faster at one time than at another.
		const ratios = rounds.map((found) => median(found[variant].seconds) / median(found.sft.seconds));
		return {
			name: variant === 'sft' ? 'sft' : `${variant} over sft`,
			ratio: median(ratios),
			ratios,
			limit: limits[variant] ?? null,
			seconds: median(rounds.flatMap((found) => found[variant].seconds)),
			peakMiB: Math.round(Math.max(...rounds.map((found) => found[variant].peakMiB))),
			loss: rounds[0]![variant].loss,
		};
	});
	// Steps alternate, the first without a reading; whole pairs of each process.
	const cpu = rounds.flatMap(({ monitors }) => monitors.cpuSeconds.slice(0, 2 * Math.floor(options.steps / 2)));
	const steps = [0, 1].map((parity) => median(cpu.filter((_, i) => i % 2 === parity)));
	const monitors = {
		readingCpuSeconds: steps[1]! - steps[0]!,
		share: (steps[1]! - steps[0]!) / monitorsEvery / steps[0]!,
	};
	const { layers, tokens, dtype } = options;
	console.log(
		`${layers} layers of Qwen3-1.7B's shape, ${tokens} tokens, half context, ${dtype}, ${cpus()[0]?.model}, ${cpus().length} cores`,
	);
	for (const { name, ratio, ratios, limit, seconds, peakMiB } of rows) {
		const verdict = limit === null ? '' : ratio <= limit ? `  at most ${limit}: met` : `  at most ${limit}: NOT met`;
		const each = ratios.map((value) => value.toFixed(2)).join(' ');
		console.log(
			`${name.padEnd(18)} ${ratio.toFixed(2)}x (rounds ${each})  ${seconds.toFixed(2)} s  ${peakMiB} MiB${verdict}`,
		);
	}
	const met = monitors.share <= monitorsLimit ? 'met' : 'NOT met';
	console.log(
		`monitors every ${monitorsEvery} steps: ${(100 * monitors.share).toFixed(2)} % of a masked step, ${monitors.readingCpuSeconds.toFixed(2)} CPU s a reading  at most ${100 * monitorsLimit} %: ${met}`,
	);
	return { layers, tokens, dtype, rows, monitors };
}
