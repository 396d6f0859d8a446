/**
 * How fast do records become batches, and in how much memory? `npm run bench -- data [--patients N] [--json FILE] [--meds DIR]
 * [--tokenizer DIR] [--only WORD] [--work DIR]`. Every stage runs in a process of its own, so that its peak of memory is its
 * own; a stage whose result does not add up ends the run.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { Measured, Stage } from './data/stages.js';
import { inOwnProcess } from './stages/own-process.js';

const GiB = 1024;
/** A row to be made: the stage, what it is given, and what is asked of it. */
interface Plan {
	readonly name: string;
	readonly stage: Stage;
	readonly input: Readonly<Record<string, string | number>>;
	readonly limit?: Partial<Record<'perSecond' | 'share' | 'wallSeconds' | 'peakMiB', number>>;
}

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- data')
	.option('patients', {
		type: 'number',
		default: 1_000_000,
		describe: 'Of the large cohort; the small one has a tenth',
	})
	.option('json', { type: 'string', describe: 'File for the rows' })
	.option('meds', { type: 'string', describe: 'A MEDS data set, such as the MIMIC-IV demo, for the rows "given"' })
	.option('tokenizer', { type: 'string', describe: 'Folder of a Qwen tokenizer, for the row "given, text store"' })
	.option('only', { type: 'string', describe: 'Rows whose name holds this; they need what the rows before them wrote' })
	.option('work', { type: 'string', describe: 'Folder for what is written, kept; absent: a temporary one' })
	.strict()
	.parseAsync();

const work = options.work ?? mkdtempSync(join(tmpdir(), 'ehr-jepa-bench-'));
const large = options.patients;
const small = Math.ceil(large / 10);
const few = Math.ceil(large / 100);
// What is asked of a million patients says nothing about fewer.
const hospital = large >= 1_000_000;

function* plans(): Generator<Plan> {
	const sizes = [
		['small', small],
		['large', large],
	] as const;
	for (const [size, patients] of sizes) {
		yield {
			name: `simulate, ${size}`,
			stage: 'simulate',
			input: { out: join(work, `cohort-${size}`), patients, latentPatients: 0 },
			...(size === 'large' ? { limit: { perSecond: 1e6 } } : {}),
		};
	}
	yield {
		name: 'simulate, with every true state',
		stage: 'simulate',
		input: { out: join(work, 'cohort-states'), patients: few, latentPatients: few },
	};
	for (const [size] of sizes) {
		yield {
			name: `structured store, ${size}`,
			stage: 'prepare',
			input: { meds: join(work, `cohort-${size}`), out: join(work, `store-${size}`) },
			...(size === 'large' ? { limit: { perSecond: 1.5e6, peakMiB: 2 * GiB } } : {}),
		};
	}
	for (const [size] of sizes) {
		yield {
			name: `open store, ${size}`,
			stage: 'open',
			input: { store: join(work, `store-${size}`) },
			...(size === 'large' ? { limit: { wallSeconds: 1 } } : {}),
		};
	}
	for (const [size] of sizes)
		yield { name: `sampler, ${size}`, stage: 'sample', input: { store: join(work, `store-${size}`), steps: 256 } };
	yield {
		name: 'fill at 3,300 tokens, simulated',
		stage: 'fill',
		input: { store: join(work, 'store-small'), steps: 512 },
		limit: { share: 0.97 },
	};
	yield { name: 'wait of a step', stage: 'wait', input: { store: join(work, 'store-small'), steps: 200, stepMs: 50 } };
	if (options.meds === undefined) return;
	yield {
		name: 'given, structured store',
		stage: 'prepare',
		input: { meds: options.meds, out: join(work, 'store-given') },
		limit: { wallSeconds: 5 },
	};
	yield {
		name: 'fill at 3,300 tokens, given',
		stage: 'fill',
		input: { store: join(work, 'store-given'), steps: 512 },
		limit: { share: 0.97 },
	};
	if (options.tokenizer === undefined) return;
	yield {
		name: 'given, text store',
		stage: 'prepare',
		input: { meds: options.meds, out: join(work, 'store-given-text'), tokenizer: options.tokenizer },
		limit: { wallSeconds: 10 },
	};
	yield {
		name: 'fill at 3,300 tokens, given text',
		stage: 'fill',
		input: { store: join(work, 'store-given-text'), steps: 512 },
		limit: { share: 0.97 },
	};
}

interface Row extends Measured {
	readonly name: string;
	readonly limit: NonNullable<Plan['limit']>;
	readonly met: boolean | null;
}

function verdict({ limit = {} }: Plan, found: Measured): boolean | null {
	const checks = Object.entries(limit).map(([key, bound]) => {
		const value = found[key as keyof NonNullable<Plan['limit']>];
		if (value === undefined) return false;
		return key === 'perSecond' || key === 'share' ? value >= bound : value <= bound;
	});
	return checks.length === 0 ? null : checks.every((isMet) => isMet);
}

const rows: Row[] = [];
console.log(`${cpus()[0]?.model}, ${cpus().length} cores, node ${process.version}; ${large} and ${small} patients`);
try {
	for (const plan of plans()) {
		if (options.only !== undefined && !plan.name.includes(options.only)) continue;
		const { name, stage } = plan;
		const script = new URL('./data/stages.js', import.meta.url);
		const found = await inOwnProcess<Measured>(script, name, { stage, input: plan.input });
		const isAsked = hospital || !plan.name.endsWith('large');
		const row = { ...found, name, limit: plan.limit ?? {}, met: isAsked ? verdict(plan, found) : null };
		rows.push(row);
		const rate =
			found.perSecond === undefined ? '' : `${Math.round(found.perSecond).toLocaleString('en')} ${found.unit}/s`;
		const seconds = `${found.wallSeconds.toFixed(2)} s wall, ${found.cpuSeconds.toFixed(2)} s CPU`;
		const asked = row.met === null ? '' : `  ${JSON.stringify(row.limit)}: ${row.met ? 'met' : 'NOT met'}`;
		console.log(
			`${plan.name.padEnd(34)} ${rate.padStart(22)}  ${seconds}, peak ${found.peakMiB} MiB${found.note === undefined ? '' : `; ${found.note}`}${asked}`,
		);
		if (options.json !== undefined) {
			const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
			writeFileSync(options.json, `${JSON.stringify({ machine, patients: large, rows }, undefined, '\t')}\n`);
		}
	}
} finally {
	if (options.work === undefined) rmSync(work, { recursive: true, force: true });
}
