import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { DataError, OutputError } from '../../../lib/errors.js';
import type { Estimate, EvaluationFile } from '../../../lib/evaluate/evaluation-file.js';
import { writeReport } from '../../../lib/report/report.js';
import { type GeneratedInput, type GeneratedReport, generateReportInput } from '../../fixtures/report-input.js';

const voidElements = new Set(['meta']);

/** Names of elements that are closed in the wrong order or not at all. Attributes never hold a bare `>`. */
function unbalanced(page: string): string[] {
	const open: string[] = [];
	const wrong: string[] = [];
	const content = page.replace(/<style>[^<]*<\/style>/g, '');
	for (const [, slash, name, rest] of content.matchAll(/<(\/?)([a-z][a-z0-9]*)([^<>]*)>/g)) {
		if (slash === '/') {
			if (open.pop() !== name) wrong.push(`/${name}`);
		} else if (!voidElements.has(name!) && !rest!.endsWith('/')) open.push(name!);
	}
	return [...wrong, ...open];
}

/** The page as a reader sees it. */
function textOf(page: string): string {
	return page
		.replace(/<style>[^<]*<\/style>/g, '')
		.replace(/<[^<>]*>/g, ' ')
		.replace(/&lt;/g, '<')
		.replace(/&gt;/g, '>')
		.replace(/&quot;/g, '"')
		.replace(/&#39;/g, "'")
		.replace(/&amp;/g, '&')
		.replace(/\s+/g, ' ');
}

function tableRows(page: string, caption: string): string[][] {
	const start = page.indexOf(`<p class="caption">${caption}`);
	if (start < 0) throw new Error(`no table ${caption}`);
	const table = page.slice(start, page.indexOf('</table>', start));
	return [...table.matchAll(/<tr[^>]*>(.*?)<\/tr>/gs)].map(([, row]) =>
		[...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell!),
	);
}

/** Values and shown texts of the numbers of a cell. */
function numbersOf(cell: string): { value: number; text: string }[] {
	return [...cell.matchAll(/<data value="([^"]*)">([^<]*)<\/data>/g)].map(([, value, text]) => ({
		value: Number(value),
		text: text!.replace('\u2212', '-').replaceAll(',', ''),
	}));
}

async function generated(
	test: Test,
	options: Omit<GeneratedInput, 'directory'> = {},
): Promise<GeneratedReport & { out: string }> {
	const directory = test.testdir();
	return { ...(await generateReportInput({ directory, ...options })), out: join(directory, 'report.html') };
}

async function report(
	test: Test,
	options: Omit<GeneratedInput, 'directory'> = {},
): Promise<GeneratedReport & { page: string }> {
	const { out, ...rest } = await generated(test, options);
	await writeReport(out, rest.input);
	return { ...rest, page: await readFile(out, 'utf8') };
}

const variants: Record<string, Omit<GeneratedInput, 'directory'>> = {
	simulated: {},
	'real, without an effect': { simulated: false, effect: 0 },
	'one step, nothing defined': { steps: 1, undefinedEstimates: true },
	'no probes, no monitors': { probes: false, monitors: false, steps: 7 },
};

for (const [name, options] of Object.entries(variants)) {
	t.test(`the page is whole and self-contained: ${name}`, async (t) => {
		const { page } = await report(t, options);
		t.same(unbalanced(page), []);
		t.notMatch(page, /NaN|undefined|Infinity|\[object/);
		t.notMatch(page, /https?:|<script|<link|<img|<iframe|@import|url\(|src=/);
		t.match(page, /default-src 'none'/);
		const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!);
		t.equal(new Set(ids).size, ids.length, 'ids are unique');
		for (const [, target] of page.matchAll(/(?:href="#|aria-labelledby="|aria-describedby=")([^"]+)"/g)) {
			t.ok(ids.includes(target!), `${target} exists`);
		}
		const drawings = [
			...page.matchAll(/<svg [^>]*role="img"[^>]*><title id="[^"]+">[^<]+<\/title><desc id="[^"]+">[^<]+<\/desc>/g),
		];
		t.equal(drawings.length, page.split('role="img"').length - 1, 'every drawing has a title and a description');
	});
}

t.test('numbers of the probe tables are those of evaluation.json', async (t) => {
	const { page, evaluation } = await report(t);
	const label = new Map(evaluation.models.map((model) => [model.name, model.label]));
	const sameEstimate = (cell: string, { value, low, high, undefinedReason }: Estimate, about: string) => {
		if (value === null) {
			t.match(textOf(cell), `not defined: ${undefinedReason}`, about);
			return;
		}
		const shown = numbersOf(cell);
		t.same(
			shown.map(({ value: exact }) => exact),
			[value, low, high],
			about,
		);
		for (const { value: exact, text } of shown)
			t.ok(Math.abs(Number(text) - exact) <= 0.0005 + 1e-12, `${text} rounds ${exact}`);
	};
	for (const { name, label: taskLabel } of evaluation.tasks) {
		const probes = evaluation.probes.filter(({ task }) => task === name);
		const horizons = [...new Set(probes.map(({ horizonDays }) => horizonDays))];
		const compact = tableRows(page, `${taskLabel}: AUROC`);
		const others = tableRows(page, `${taskLabel}: other scores`).filter((cells) => cells.length > 1);
		t.equal(others.length - 1, probes.length, 'every probe has its row');
		const row = (first: string) => compact.find((cells) => cells[0] === first)!;
		for (const [i, probe] of probes.entries()) {
			const column = horizons.indexOf(probe.horizonDays) + 1;
			const about = `${name} ${probe.horizonDays} ${probe.model}`;
			sameEstimate(row(label.get(probe.model)!)[column]!, probe.auroc, about);
			t.same(
				numbersOf(row('Samples')[column]!).map(({ value }) => value),
				[probe.nSamples],
			);
			t.same(
				numbersOf(row('Patients')[column]!).map(({ value }) => value),
				[probe.nPatients],
			);
			t.same(
				numbersOf(row('Positive')[column]!).map(({ value }) => value),
				[probe.nPositives],
			);
			const cells = others[i + 1]!;
			t.equal(cells[0], label.get(probe.model));
			sameEstimate(cells[1]!, probe.averagePrecision, about);
			sameEstimate(cells[2]!, probe.brier, about);
			const counts = [probe.nSamples, probe.nPatients, probe.nPositives, probe.nTrainSamples, probe.nTrainPositives];
			t.same(
				cells.slice(3, 8).map((cell) => numbersOf(cell)[0]!.value),
				counts,
			);
		}
	}
	for (const { a, b } of evaluation.differences) {
		const rows = evaluation.differences.filter((row) => row.a === a && row.b === b);
		const shown = tableRows(page, `${label.get(a)} minus ${label.get(b)}`)
			.filter((cells) => cells.length === 3)
			.slice(1);
		t.equal(shown.length, rows.length);
		for (const [i, { difference }] of rows.entries()) sameEstimate(shown[i]![1]!, difference, `${a} - ${b}`);
	}
	const states = tableRows(page, 'R² of the true latent state')
		.filter((cells) => cells.length > 1)
		.slice(1);
	const values = (estimates: readonly (number | null)[]) => [...estimates].sort((a, b) => a! - b!);
	t.same(
		values(states.map((cells) => numbersOf(cells[2]!)[0]!.value)),
		values(evaluation.latentState.map(({ r2 }) => r2.value)),
	);
});

t.test('only an interval that excludes 0 is called a difference', async (t) => {
	const { out, input, evaluation } = await generated(t);
	const summary = async (low: number, high: number): Promise<string> => {
		const differences = evaluation.differences.map((row) => ({
			...row,
			difference: { value: (low + high) / 2, low, high },
		}));
		await writeFile(input.evaluation, JSON.stringify({ ...evaluation, differences }));
		await writeReport(out, input);
		return textOf(/<p class="lead">(.*?)<\/p>/s.exec(await readFile(out, 'utf8'))![1]!);
	};
	t.match(
		await summary(0.001, 0.05),
		'SFT + JEPA against SFT, AUROC over tasks and horizons: better in 9 of 9. R² of the true state, now and later: better in 4 of 4.',
	);
	t.match(await summary(-0.05, -0.001), 'SFT + JEPA against SFT, AUROC over tasks and horizons: worse in 9 of 9.');
	const undecided = await summary(-0.001, 0.05);
	t.match(
		undecided,
		'SFT + JEPA against SFT, AUROC over tasks and horizons: no difference could be shown in any of 9.',
	);
	t.notMatch(undecided, /better|worse/);
	t.match(await summary(0, 0.05), 'no difference could be shown in any of 9', 'an interval that ends at 0 holds it');
});

t.test('the latent loss is set beside both null models', async (t) => {
	const { page, metrics } = await report(t);
	const last = metrics['sft+jepa']!.findLast((line) => line.kind === 'tuning')!;
	t.ok(last.latentLoss! < last.collapse!.batchMeanLoss);
	const shown = (value: number) => value.toPrecision(3);
	t.match(
		textOf(page),
		`SFT + JEPA ended with a latent loss of ${shown(last.latentLoss!)} on tuning patients, below that of predicting the average patient (${shown(last.collapse!.batchMeanLoss)}) and below that of predicting no change (${shown(last.collapse!.copyContextLoss)}).`,
	);
	const cells = tableRows(page, 'Last reading of each run')[1]!;
	t.equal(numbersOf(cells[2]!)[0]!.value, last.latentLoss! / last.collapse!.batchMeanLoss);
	t.equal(numbersOf(cells[3]!)[0]!.value, last.latentLoss! / last.collapse!.copyContextLoss);
});

t.test('training figures add up', async (t) => {
	const { page, metrics } = await report(t, { steps: 20 });
	const steps = metrics.sft!.filter((line) => line.kind === 'train');
	const cells = tableRows(page, 'Speed, memory and time')[1]!;
	t.equal(cells[0], 'SFT');
	t.equal(numbersOf(cells[1]!)[0]!.value, 20);
	t.equal(
		numbersOf(cells[2]!)[0]!.value,
		steps.reduce((sum, { tokens }) => sum + tokens, 0),
	);
	const rates = steps.map(({ tokensPerSecond }) => tokensPerSecond).sort((a, b) => a - b);
	t.equal(numbersOf(cells[3]!)[0]!.value, (rates[9]! + rates[10]!) / 2);
	t.equal(numbersOf(cells[6]!)[0]!.value, Math.max(...steps.map(({ peakRssBytes }) => peakRssBytes)));
});

t.test('a long run is thinned for drawing and says so', async (t) => {
	const { page } = await report(t, { steps: 3000 });
	t.match(textOf(page), 'Runs of up to 3,000 steps are drawn as at most 400 means of neighbouring steps.');
	const longest = [...page.matchAll(/points="([^"]*)"/g)].map(([, points]) => points!.split(' ').length);
	t.ok(Math.max(...longest) <= 400 && Math.max(...longest) > 300, `${Math.max(...longest)} points`);
});

t.test('a short run is drawn point by point', async (t) => {
	const { page } = await report(t, { steps: 12 });
	t.notMatch(textOf(page), 'means of neighbouring steps');
	const lengths = [...page.matchAll(/<polyline class="curve[^>]*points="([^"]*)"/g)].map(
		([, points]) => points!.split(' ').length,
	);
	t.ok(lengths.includes(12));
});

t.test('configuration is shown flat, with what differs first', async (t) => {
	const { page } = await report(t);
	const differs = tableRows(page, 'Seeds, and options in which the runs differ').map((cells) =>
		cells.map(textOf).map((text) => text.trim()),
	);
	t.same(differs[0], ['Option', 'SFT', 'SFT + JEPA']);
	t.ok(differs.some((cells) => cells.join() === 'train.seed,1,1'));
	t.ok(differs.some((cells) => cells.join() === 'train.objective.latent.maskRatio,–,0.5'));
	t.notOk(differs.some(([key]) => key === 'train.model.hiddenSize'));
	const all = tableRows(page, 'All options, with defaults filled in').map((cells) =>
		cells.map(textOf).map((text) => text.trim()),
	);
	t.ok(all.some((cells) => cells.join() === 'train.model.hiddenSize,128,128'));
});

t.test('text of the input never becomes markup', async (t) => {
	let round = 0;
	const root = t.testdir();
	const nasty = fc.constantFrom(
		'<script>alert(1)</script>',
		'"><img src=x onerror=y>',
		"' onload='",
		'</title></svg>',
		'&amp;&lt;',
	);
	await fc.assert(
		fc.asyncProperty(fc.array(fc.oneof(nasty, fc.string()), { minLength: 1, maxLength: 4 }), async (parts) => {
			const text = parts.join('');
			const directory = join(root, String(round++));
			await mkdir(directory);
			const { input, evaluation } = await generateReportInput({ directory, steps: 2, label: text });
			const renamed: EvaluationFile = {
				...evaluation,
				dataset: { ...evaluation.dataset, name: text },
				tasks: evaluation.tasks.map((task) => ({ ...task, label: text, definition: text })),
				cohortFlow: [{ stage: text, patients: 1, note: text }],
				latentState: evaluation.latentState.map((row) => ({ ...row, axis: row.axis === 'renal' ? text : row.axis })),
			};
			await writeFile(input.evaluation, JSON.stringify(renamed));
			await writeFile(join(directory, 'sft', 'config.json'), JSON.stringify({ [text]: { [text]: text } }));
			const out = join(directory, 'report.html');
			await writeReport(out, { ...input, title: text });
			const page = await readFile(out, 'utf8');
			// What stands in quotes is a value; what is left of a tag are the names of its attributes.
			const tags = [...page.matchAll(/<[^<>]*>/g)].map(([tag]) => tag.replace(/"[^"]*"/g, '""'));
			const elements = new Set(
				[...page.replace(/<style>[^<]*<\/style>/, '').matchAll(/<([a-z][a-z0-9]*)/gi)].map(([, name]) => name),
			);
			return (
				unbalanced(page).length === 0 &&
				!elements.has('script') &&
				!elements.has('img') &&
				!tags.some((tag) => /[\s"]on[a-z]+=/.test(tag))
			);
		}),
		{ numRuns: 25, seed: 7 },
	);
});

t.test('malformed input is refused with file and rule', async (t) => {
	const refused = async (
		about: string,
		change: (made: GeneratedReport) => Promise<void>,
		file: RegExp,
		rule: RegExp,
	) => {
		await t.test(about, async (t) => {
			const { out, ...made } = await generated(t, { steps: 5 });
			await change(made);
			const error = await writeReport(out, made.input).then(
				() => undefined,
				(thrown) => thrown,
			);
			t.type(error, DataError);
			t.match(error.file, file);
			t.match(error.rule, rule);
			t.notOk(
				(await readdir(t.testdirName)).some((name) => name.includes('report.html')),
				'nothing is left',
			);
		});
	};
	const metricsOf = ({ input }: GeneratedReport) => join(input.runs[0]!.directory, 'metrics.jsonl');
	const evaluationWith = (change: (evaluation: EvaluationFile) => unknown) => (made: GeneratedReport) =>
		writeFile(made.input.evaluation, JSON.stringify(change(made.evaluation)));
	await refused(
		'evaluation is no JSON',
		({ input }) => writeFile(input.evaluation, '{'),
		/evaluation\.json$/,
		/must be JSON/,
	);
	await refused(
		'evaluation of another version',
		evaluationWith((evaluation) => ({ ...evaluation, version: 2 })),
		/evaluation\.json$/,
		/version/,
	);
	await refused(
		'a probe of an unknown model',
		evaluationWith((evaluation) => ({ ...evaluation, probes: [{ ...evaluation.probes[0], model: 'other' }] })),
		/evaluation\.json$/,
		/probes\.0\.model must name one of "models"/,
	);
	await refused(
		'a probe of an unknown task',
		evaluationWith((evaluation) => ({ ...evaluation, probes: [{ ...evaluation.probes[0], task: 'other' }] })),
		/evaluation\.json$/,
		/probes\.0\.task must name one of "tasks"/,
	);
	await refused(
		'no such run',
		async ({ input }) => writeFile(join(input.runs[0]!.directory, 'config.json'), '[]'),
		/config\.json$/,
		/JSON object/,
	);
	await refused(
		'a metrics line with an unknown kind',
		async (made) => writeFile(metricsOf(made), '{"kind":"other"}\n'),
		/metrics\.jsonl$/,
		/line 1/,
	);
	await refused(
		'a broken line in the middle',
		async (made) => writeFile(metricsOf(made), `{"kind":\n${JSON.stringify(made.metrics.sft![0])}\n`),
		/metrics\.jsonl$/,
		/line 1 must be JSON/,
	);
	await refused(
		'steps that go back',
		async (made) => appendFile(metricsOf(made), `${JSON.stringify(made.metrics.sft![0])}\n`),
		/metrics\.jsonl$/,
		/steps of "train" must ascend/,
	);
});

t.test('a last line that a crash cut off is left out and named', async (t) => {
	const { out, input } = await generated(t, { steps: 5 });
	await appendFile(join(input.runs[0]!.directory, 'metrics.jsonl'), '{"kind":"train","st');
	await writeReport(out, input);
	t.match(textOf(await readFile(out, 'utf8')), 'The last line of SFT was cut off');
});

t.test('a report that cannot be written leaves nothing', async (t) => {
	const { input } = await generated(t, { steps: 5 });
	await t.rejects(writeReport(join(t.testdirName, 'missing', 'report.html'), input), OutputError);
	t.notOk((await readdir(t.testdirName)).includes('missing'));
});
