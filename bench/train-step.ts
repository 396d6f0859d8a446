/**
 * What does the latent objective cost on top of an SFT-only step? `npm run bench -- train-step [--json FILE] [--layers N]
 * [--tokens N] [--steps N] [--dtype float32|bfloat16] [--rounds N]`. Every variant runs in processes of its own, in turns.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';

const binary = fileURLToPath(new URL('../../build/release/ehrjepa_bench', import.meta.url));
const variants = ['sft', 'query', 'masked', 'two-pass'] as const;
/** `monitors`: a masked run that reads the collapse monitors at every second step. */
type Variant = (typeof variants)[number] | 'monitors';
/** Of the SFT-only step; the packed rows must stay below, the two-pass row is what they replace. */
const limits: Partial<Record<Variant, number>> = { query: 1.42, masked: 1.85 };
/** Default interval of the monitors, and the share of a step that they may take. */
const monitorsEvery = 10;
const monitorsLimit = 0.02;

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- train-step')
	.option('json', { type: 'string', describe: 'File for the rows' })
	.option('layers', { type: 'number', default: 2, describe: 'Layers of the shape of Qwen3-1.7B' })
	.option('tokens', { type: 'number', default: 3300, describe: 'Trunk tokens, half of them context' })
	.option('steps', { type: 'number', default: 3, describe: 'Timed steps of a process' })
	.option('rounds', { type: 'number', default: 2, describe: 'Processes of each variant' })
	.option('dtype', {
		choices: ['float32', 'bfloat16'] as const,
		default: 'bfloat16' as const,
		describe: 'Of the computation',
	})
	.check(({ steps }) => steps >= 2 || 'steps must be at least 2, one of them with a reading')
	.strict()
	.parseAsync();

interface Measured {
	readonly seconds: number[];
	/** Of all threads: unlike wall time it hardly depends on what else the machine does. */
	readonly cpuSeconds: number[];
	readonly loss: number;
	readonly peakMiB: number;
}

async function measure(variant: Variant): Promise<Measured> {
	const { layers, tokens, steps, dtype } = options;
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

const results = new Map<Variant, Measured>();
for (let round = 0; round < options.rounds; round++) {
	for (const variant of [...variants, 'monitors'] as const) {
		const found = await measure(variant);
		const before = results.get(variant);
		results.set(variant, {
			loss: found.loss,
			seconds: [...(before?.seconds ?? []), ...found.seconds],
			// Whole pairs, since steps with and without a reading alternate.
			cpuSeconds: [...(before?.cpuSeconds ?? []), ...found.cpuSeconds.slice(0, 2 * Math.floor(options.steps / 2))],
			peakMiB: Math.max(before?.peakMiB ?? 0, found.peakMiB),
		});
		process.stderr.write(`${variant.padEnd(10)} ${found.seconds.map((s) => s.toFixed(2)).join(' ')} s\n`);
	}
}
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const base = median(results.get('sft')!.seconds);
const rows = variants.map((variant) => {
	const { seconds, peakMiB, loss } = results.get(variant)!;
	return {
		name: variant === 'sft' ? 'sft' : `${variant} over sft`,
		ratio: median(seconds) / base,
		limit: limits[variant] ?? null,
		seconds: median(seconds),
		peakMiB: Math.round(peakMiB),
		loss,
	};
});
// Steps alternate, the first without a reading.
const cpu = results.get('monitors')!.cpuSeconds;
const steps = [0, 1].map((parity) => median(cpu.filter((_, i) => i % 2 === parity)));
const monitors = {
	readingCpuSeconds: steps[1]! - steps[0]!,
	share: (steps[1]! - steps[0]!) / monitorsEvery / steps[0]!,
};
const { layers, tokens, dtype } = options;
console.log(
	`${layers} layers of Qwen3-1.7B's shape, ${tokens} tokens, half context, ${dtype}, ${cpus()[0]?.model}, ${cpus().length} cores`,
);
for (const { name, ratio, limit, seconds, peakMiB } of rows) {
	const verdict = limit === null ? '' : ratio <= limit ? `  at most ${limit}: met` : `  at most ${limit}: NOT met`;
	console.log(`${name.padEnd(18)} ${ratio.toFixed(2)}x  ${seconds.toFixed(2)} s  ${peakMiB} MiB${verdict}`);
}
const met = monitors.share <= monitorsLimit ? 'met' : 'NOT met';
console.log(
	`monitors every ${monitorsEvery} steps: ${(100 * monitors.share).toFixed(2)} % of a masked step, ${monitors.readingCpuSeconds.toFixed(2)} CPU s a reading  at most ${100 * monitorsLimit} %: ${met}`,
);
if (options.json !== undefined)
	writeFileSync(options.json, `${JSON.stringify({ layers, tokens, dtype, rows, monitors }, undefined, '\t')}\n`);
