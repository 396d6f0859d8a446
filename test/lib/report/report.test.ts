import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Estimate, EvaluationFile } from '../../../lib/evaluate/evaluation-file.js';
import { comparisonsOf } from '../../../lib/report/comparisons.js';
import { writeReport } from '../../../lib/report/report.js';
import type { ReportData } from '../../../lib/report/report-data.js';
import { estimate, modelAnd, table } from '../../../lib/report/table.js';
import { numbersOf, tableRows, textOf, unbalanced } from '../../fixtures/html-page.js';
import fc from '../../fixtures/property.js';
import type { GeneratedInput } from '../../fixtures/report-input/options.js';
import { generatedTrajectories } from '../../fixtures/report-input/trajectories.js';
import { generateReportInput } from '../../fixtures/report-input.js';
import { generated, report } from '../../fixtures/report-page.js';

const variants: Record<string, Omit<GeneratedInput, 'directory'>> = {
	simulated: { instruments: true },
	'real, without an effect': { simulated: false, effect: 0 },
	'one step, nothing defined': { steps: 1, undefinedEstimates: true },
	'no probes, no monitors': { probes: false, monitors: false, steps: 7 },
	'parts of the samples': { strata: true, steps: 7 },
	'few labels': { trainingSizes: true, steps: 7 },
	'single patients': { trajectories: true, instruments: true, steps: 8 },
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

t.test('a reason that the cell above has stands once', (t) => {
	const cell = (undefinedReason: string) => estimate({ value: null, low: null, high: null, undefinedReason });
	const rows = ['a', 'a', 'b'].map((reason, i) => ({ cells: [`row ${i}`, cell(reason)] }));
	const grouped = { cells: ['row 3', cell('b')], group: 'another' };
	const shown = table('c', modelAnd('AUROC'), [...rows, grouped]).text;
	t.same(
		[...shown.matchAll(/<td[^>]*>(.*?)<\/td>/g)].map(([, text]) => textOf(text!).trim()),
		['not defined: a', 'not defined, as above', 'not defined: b', 'not defined: b'],
	);
	t.end();
});

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
			const cell = row(label.get(probe.model)!)[column]!;
			sameEstimate(cell, probe.auroc, about);
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

t.test('what the store holds is shown: lengths, codes, values', async (t) => {
	const { page, evaluation } = await report(t);
	const { splits, coverage, prefixes, topCodes } = evaluation.data!;
	if (coverage.kind !== 'structured') throw new Error('the generated store is structured');
	const numbers = (cells: readonly string[]) => cells.flatMap(numbersOf).map(({ value }) => value);
	const lengths = tableRows(page, 'Splits, and tokens per patient');
	for (const [name, { patients, events, days, tokens, lengthPercentiles }] of Object.entries(splits)) {
		const row = lengths.find((cells) => cells[0] === name)!;
		t.same(numbers(row), [patients, events, days, tokens, ...Object.values(lengthPercentiles)]);
	}
	const fate = tableRows(page, 'What became of the events');
	t.same(numbers(fate.find(([what]) => what === 'code unknown')!), [coverage.unknown]);
	t.match(fate.find(([what]) => what === 'value binned')!.join(), /47\.6/);
	t.equal(tableRows(page, 'Events by the first part of their code').length - 1, prefixes.length);
	t.same(
		tableRows(page, 'Most frequent codes')
			.slice(1)
			.map(([code]) => textOf(code!).trim()),
		topCodes.map(({ code }) => code),
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
		return textOf(/<p class="lead">(.*?)<dl/s.exec(await readFile(out, 'utf8'))![1]!);
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
	t.ok(differs.some((cells) => cells.join() === 'train.objective.latent.branch.ratio,–,0.5'));
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
				data: {
					...evaluation.data!,
					topCodes: [{ code: text, events: 1 }],
					notes: [text],
					prefixes: evaluation.data!.prefixes.map((row) => ({ ...row, prefix: text })),
				},
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

t.test('the loss by kind of token is drawn against simple predictors', async (t) => {
	const { page, metrics } = await report(t, { instruments: true });
	const section = page.slice(page.indexOf('<section id="instruments">'));
	const last = metrics.sft!.findLast((line) => line.kind === 'instruments')!;
	const rows = tableRows(section, 'Last reading: nats per token by kind');
	const row = rows.find(([name]) => textOf(name!) === 'SFT')!;
	t.same(
		row.slice(1).flatMap((cell) => numbersOf(cell).map(({ value }) => value)),
		[
			...(['value', 'code', 'diagnosis', 'death'] as const).map((kind) => last.losses![kind]!.loss),
			last.valueReferences!.byCode,
			last.valueReferences!.byPrevious,
			last.valueReferences!.linear,
		],
	);
	t.match(section, /Dashed lines, from the top: [^<]*P\(bin \| code, previous bin\)/, 'lines with their names');
	t.match(section, 'id="loss-of-diagnosis-title"');
	t.notMatch(section, 'id="loss-of-death-title"', 'five tokens are no curve');
	t.match(section, 'id="state-probe-title"');
	const real = (await report(t, { instruments: true, simulated: false })).page;
	t.match(real, 'id="loss-of-value-title"');
	t.notMatch(real, 'id="state-probe-title"', 'nobody knows the state');
	t.notMatch((await report(t)).page, 'id="instruments"', 'nothing was read');
});

t.test('results along an anchor, calibration and subgroups are those of evaluation.json', async (t) => {
	const { page, evaluation } = await report(t, { strata: true, steps: 7 });
	for (const id of ['anchor', 'calibration', 'subgroups']) t.match(page, new RegExp(`<section[^>]*id="${id}"`));
	const label = new Map(evaluation.models.map((model) => [model.name, model.label]));
	const of = (by: string) =>
		evaluation.strata.filter((row) => row.by === by && row.task === 'death' && row.horizonDays === 180);
	for (const by of ['days since first-code', 'sex']) {
		const rows = tableRows(page, `Death, 180 d, by ${by}`).filter((cells) => cells.length > 1);
		t.equal(rows.length - 1, of(by).length, by);
		for (const [i, stratum] of of(by).entries()) {
			const cells = rows[i + 1]!;
			t.equal(textOf(cells[0]!), label.get(stratum.model));
			if (stratum.auroc.value === null) t.match(textOf(cells[1]!), /not defined: one class only/);
			else t.equal(numbersOf(cells[1]!)[0]!.value, stratum.auroc.value);
			t.equal(numbersOf(cells[6]!)[0]!.value, stratum.nSamples);
			t.equal(numbersOf(cells[9]!)[0]!.value, stratum.prevalence);
		}
	}
	const calibrated = tableRows(page, 'Calibration of every task and horizon').filter((cells) => cells.length > 1);
	t.equal(calibrated.length - 1, evaluation.probes.length);
	t.equal(numbersOf(calibrated.at(-1)![2]!)[0]!.value, evaluation.probes.at(-1)!.calibration!.slope.value);
	t.match(page, /0\.420 predicted, 0\.350 observed/, 'the curve in words');
	const without = await report(t, { probes: false, steps: 7 });
	for (const id of ['anchor', 'calibration', 'subgroups'])
		t.notMatch(without.page, new RegExp(`<section[^>]*id="${id}"`));
});

t.test(
	'few labels: each size of each model is there with its deviation and counts, in a chart and in a table',
	async (t) => {
		const { page, evaluation } = await report(t, { trainingSizes: true, steps: 7 });
		for (const [kind, axis] of [
			['shots', 'samples of each class'],
			['share', 'share of the training patients'],
		] as const) {
			const caption = `Death, 180 d, by ${axis}; 834 held-out samples of 281 patients, 81 positive (9.7\u00a0%)`;
			const rows = tableRows(page, caption).filter((cells) => cells.length > 1);
			const expected = evaluation.trainingSizes.filter((row) => row.kind === kind && row.task === 'death');
			t.equal(rows.length - 1, expected.length);
			for (const [i, { auroc, deviation, nTrainSamples }] of expected.entries()) {
				const cells = rows[i + 1]!;
				if (auroc.value === null) t.match(textOf(cells[1]!), /not defined: 81 positive samples in train/);
				else t.equal(numbersOf(cells[1]!)[0]!.value, auroc.value);
				t.equal(numbersOf(cells[2]!)[0]?.value, deviation ?? undefined);
				t.equal(numbersOf(cells[5]!)[0]!.value, nTrainSamples);
			}
		}
		t.match(page, /id="training-size-shots-0-title"/);
		t.match(page, /128, SFT: not defined \(81 positive samples in train, 128 are needed\)/, 'the chart in words');
		t.match(page, /1\u00a0%, SFT: 0\.520 \[0\.400, 0\.610\]/);
		t.notMatch((await report(t, { steps: 7 })).page, 'id="training-sizes"', 'not asked for');
	},
);

t.test('times to events: concordance, AUROC by horizon with its events, differences, parts', async (t) => {
	const { page, evaluation } = await report(t, { strata: true, steps: 7 });
	const { results } = evaluation.timeToEvent!;
	const rows = tableRows(page, 'Time to death: concordance');
	t.same(
		rows.slice(1).map((row) => textOf(row[1]!).trim().slice(0, 5)),
		results.map(({ concordance }) => concordance.value!.toFixed(3)),
	);
	const byHorizon = textOf(tableRows(page, 'Time to death: AUROC by horizon').flat().join(' '));
	t.match(byHorizon, /not defined: no sample is followed beyond 730 days/);
	t.match(byHorizon, /77 610/);
	t.match(textOf(tableRows(page, 'Time to death: paired differences').flat().join(' ')), /Harrell.s C \+0\.012/);
	t.match(textOf(tableRows(page, 'Time to death: parts of the samples').flat().join(' ')), /year: 2014/);
	const { page: without } = await report(t, { steps: 7 });
	t.notMatch(without, /time-to-event/);
});

t.test('several classes: together, each against all others, differences, parts', async (t) => {
	const { page, evaluation } = await report(t, { strata: true, steps: 7 });
	const { results } = evaluation.classes!;
	const rows = tableRows(page, 'stage: all classes together').slice(1);
	t.same(
		rows.map((row) => numbersOf(row[3]!)[0]!.value),
		results.map(({ logLoss }) => logLoss.value),
	);
	t.match(textOf(rows[0]!.join(' ')), /not defined: no samples of class stage 9 in held-out/);
	const each = tableRows(page, 'stage: each class against all others').filter((cells) => cells.length > 1);
	t.equal(each.length - 1, 9 * results.length);
	t.equal(numbersOf(each[1]![1]!)[0]!.value, results[0]!.classes[0]!.auroc.value);
	const text = textOf(page);
	t.match(text, '3 samples of tuning and held-out are of classes that train does not have');
	t.match(text, 'The 8 most frequent of 9 classes are drawn');
	const differences = textOf(tableRows(page, 'stage: paired differences').flat().join(' '));
	t.match(differences, /Log-loss \(lower is better\) −0\.035.*AUROC of stage 2 \+0\.012/);
	t.match(textOf(tableRows(page, 'stage: parts of the samples').flat().join(' ')), /sex: F/);
	t.notMatch((await report(t, { steps: 7 })).page, 'id="classes"');
});

t.test('single patients, the map of states and scaling say what their files say', async (t) => {
	const { page } = await report(t, { trajectories: true, instruments: true, steps: 8 });
	const text = textOf(page);
	t.match(text, 'Patient 17 138 dated events in 1,501 days, from the age of 61.4; 4 index dates');
	t.match(text, 'Drawn are 40 of 874 states');
	t.match(text, /Both axes hold 43\s% of the variance/);
	const rows = tableRows(page, 'Predicted probabilities of patient 17');
	t.same(rows[0], ['Model', 'age 61.51', 'age 62.50', 'age 62.51', 'age 64.41']);
	const sft = rows.filter(([name]) => name === 'SFT').at(-1)!;
	t.equal(textOf(sft[1]!).trim(), '0.100 [0.060, 0.180]');
	t.match(textOf(rows.at(-1)!.join(' ')), /○ it did not happen ✕ it happened \? not known ✕ it happened/);
	const scaling = tableRows(page, 'AUROC after so many tokens');
	t.ok(scaling.length > 6, 'two checkpoints of each run');
	t.match(page, /<desc[^>]*>[^<]*million tokens/);
});

t.test('files of other data are refused', async (t) => {
	const { input, evaluation, out } = await generated(t, { trajectories: true, steps: 8 });
	const other = { ...generatedTrajectories('d'.repeat(64)) };
	await writeFile(input.trajectories!, JSON.stringify(other));
	await t.rejects(writeReport(out, input), { code: 'EHR_JEPA_DATA', message: /must be of the evaluation's data set/ });
	const strange = generatedTrajectories(evaluation.dataset.fingerprint);
	await writeFile(input.trajectories!, JSON.stringify({ ...strange, strangers: [{ model: 'nobody', distance: 1 }] }));
	await t.rejects(writeReport(out, input), /models must be those of the evaluation but found nobody/);
	await writeFile(input.trajectories!, '{}');
	await t.rejects(writeReport(out, input), { code: 'EHR_JEPA_DATA' });
	const { trajectories: _, ...rest } = input;
	await writeFile(
		input.earlier![0]!,
		JSON.stringify({ ...evaluation, dataset: { ...evaluation.dataset, fingerprint: 'e'.repeat(64) } }),
	);
	await t.rejects(writeReport(out, rest), /must be of the evaluation's data set/);
});

t.test('every section that draws models names them beside their marks', async (t) => {
	const { page } = await report(t, {
		strata: true,
		trainingSizes: true,
		trajectories: true,
		instruments: true,
		steps: 8,
	});
	const sections = page.split('<section id="').slice(1);
	const drawing = sections.filter((section) => /class="(curve|mark|whisker)[^"]* c\d/.test(section));
	t.ok(drawing.length > 8);
	for (const section of drawing) t.match(section, /<ul class="legend">|Run: /, section.slice(0, section.indexOf('"')));
});

t.test('the strongest bar comes first among the baselines, however many there are', async (t) => {
	const names = ['demographics', 'counts', 'counts+values', 'boosting', 'counts-window', 'untrained'];
	const models = [
		...['sft', 'both'].map((name) => ({ name, kind: 'encoder' })),
		...names.map((name) => ({ name, kind: 'baseline' })),
	];
	const differences = ['sft', ...names].map((b) => ({ a: 'both', b }));
	const data = { evaluation: { models, differences }, runs: [] } as unknown as ReportData;
	t.same(
		comparisonsOf(data).map(({ b }) => b),
		['sft', 'counts+values', 'untrained', 'counts', 'boosting', 'demographics', 'counts-window'],
	);
});
