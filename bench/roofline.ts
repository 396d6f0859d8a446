/**
 * How near is each op to its roof? `npm run bench -- roofline OPS.json OUT.svg` draws what `npm run bench -- ops --json` printed: the
 * speed of every op of ours, on its largest case, as a share of what limits it there: a copy for ops that wait for memory, a
 * product of matrices for the others.
 */
import { writeFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { z } from 'zod';
import { readJsonAs } from '../lib/files/json.js';

const Results = z.looseObject({
	machine: z.string().optional(),
	commit: z.string().optional(),
	libtorch: z.string(),
	threads: z.int(),
	cpuCapability: z.string(),
	copyBytesPerSecond: z.number().positive(),
	float32FlopsPerSecond: z.number().positive(),
	bfloat16FlopsPerSecond: z.number().positive(),
	rows: z.array(
		z.looseObject({
			op: z.string(),
			case: z.string(),
			implementation: z.string(),
			bytes: z.number(),
			flops: z.number(),
			medianSeconds: z.number().positive(),
		}),
	),
});
type Results = z.infer<typeof Results>;

interface Bar {
	readonly op: string;
	readonly case: string;
	readonly share: number;
	readonly roof: 'memory' | 'products';
	readonly rate: string;
}

/** A bar for each op, pass and dtype: its case with the most work. */
function barsOf(results: Results): Bar[] {
	const largest = new Map<string, Results['rows'][number]>();
	for (const row of results.rows) {
		if (row.implementation !== 'ours') continue;
		const best = largest.get(row.op);
		if (best === undefined || row.bytes + row.flops > best.bytes + best.flops) largest.set(row.op, row);
	}
	return [...largest.values()].flatMap(({ op, case: name, bytes, flops, medianSeconds }): Bar[] => {
		// Of older results: the loss head forms its gradients on the way forward, so that its backward pass has no products to count.
		if (op.startsWith('linear_cross_entropy backward')) return [];
		const { float32FlopsPerSecond: wide, bfloat16FlopsPerSecond: narrow } = results;
		// Where a processor does not multiply bfloat16, its float32 products are the roof of both.
		const peak = op.endsWith('bfloat16') ? Math.max(wide, narrow) : wide;
		const [work, roof, limit, unit] =
			flops > 0
				? [flops, 'products' as const, peak, 'GF/s']
				: [bytes, 'memory' as const, results.copyBytesPerSecond, 'GB/s'];
		const rate = work / medianSeconds;
		return [{ op, case: name, share: rate / limit, roof, rate: `${(rate / 1e9).toPrecision(3)} ${unit}` }];
	});
}

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const percent = (share: number) => `${Math.round(share * 100)} %`;

/** Bars from 0 to the longest, with a line at the roof. */
function drawing(results: Results, bars: readonly Bar[]): string {
	const [left, width, height] = [230, 400, 18];
	const most = Math.max(1, ...bars.map(({ share }) => share));
	const x = (share: number) => left + (width * share) / most;
	const bottom = 62 + bars.length * height;
	const lines = bars.map(({ op, case: name, share, roof, rate }, i) => {
		const y = 56 + i * height;
		return `<g><title>${escaped(`${op}, ${name}: ${percent(share)} of ${roof}`)}</title>
<text x="${left - 6}" y="${y + 11}" text-anchor="end">${escaped(op)}</text>
<rect class="${roof}" x="${left}" y="${y + 1}" width="${(x(share) - left).toFixed(1)}" height="${height - 5}"/>
<text x="${left + width + 8}" y="${y + 11}">${percent(share)}, ${rate}</text></g>`;
	});
	const { machine, libtorch, threads, cpuCapability, commit } = results;
	const about = `${machine ?? cpuCapability}, ${threads} threads, torch ${libtorch}${commit === undefined ? '' : `, commit ${commit}`}`;
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 ${bottom + 24}" role="img" aria-labelledby="t d">
<title id="t">Every op as a share of what limits it</title>
<desc id="d">${escaped(bars.map(({ op, share, roof }) => `${op} ${percent(share)} of ${roof}`).join('; '))}</desc>
<style>text{font:11px system-ui,sans-serif;fill:#1b1f24}.memory{fill:#3b7dd8}.products{fill:#c2562d}.roof{stroke:#1b1f24;stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){text{fill:#e6e9ee}.roof{stroke:#e6e9ee}}</style>
<text x="12" y="16">${escaped(about)}</text>
<rect class="memory" x="${left}" y="26" width="10" height="10"/><text x="${left + 15}" y="35">of a copy in memory, ${(results.copyBytesPerSecond / 1e9).toPrecision(3)} GB/s</text>
<rect class="products" x="${left + 225}" y="26" width="10" height="10"/><text x="${left + 240}" y="35">of a product (bfloat16: the faster dtype’s)</text>
<line class="roof" x1="${x(1)}" x2="${x(1)}" y1="46" y2="${bottom}"/>
${lines.join('\n')}
<text x="${x(1)}" y="${bottom + 14}" text-anchor="middle">roof</text>
</svg>
`;
}

const usage = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- roofline')
	.command('$0 <ops> <out>', 'Draw the results of the native benchmarks', (command) =>
		command
			.positional('ops', { type: 'string', demandOption: true, describe: 'JSON of npm run bench -- ops --json' })
			.positional('out', { type: 'string', demandOption: true, describe: 'SVG to write' }),
	)
	.strict()
	.parseAsync();
const results = await readJsonAs(String(usage.ops), Results, {
	scope: 'roofline',
	fix: 'give what bench ops --json wrote',
});
writeFileSync(String(usage.out), drawing(results, barsOf(results)));
