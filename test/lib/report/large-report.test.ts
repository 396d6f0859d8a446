/** Reports of many models and of many tasks. */
import { readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import { writeReport } from '../../../lib/report/report.js';
import { tableRows, textOf } from '../../fixtures/html-page.js';
import { generated } from '../../fixtures/report-page.js';

t.test('sizes are thinned in charts of many models, never in tables', async (t) => {
	const { input, evaluation, out } = await generated(t, { trainingSizes: true, steps: 7 });
	const more = Array.from({ length: 12 }, (_, i) => `other ${i}`);
	const of = evaluation.trainingSizes.filter(({ model }) => model === 'sft');
	await writeFile(
		input.evaluation,
		JSON.stringify({
			...evaluation,
			models: [...evaluation.models, ...more.map((name) => ({ ...evaluation.models[0]!, name, label: name }))],
			trainingSizes: [...evaluation.trainingSizes, ...more.flatMap((model) => of.map((row) => ({ ...row, model })))],
		}),
	);
	await writeReport(out, input);
	const page = await readFile(out, 'utf8');
	const shots = new Set(evaluation.trainingSizes.filter(({ kind }) => kind === 'shots').map(({ size }) => size));
	t.match(textOf(page), `3 of ${shots.size} steps are drawn, so that 16 models can be told apart`);
	const words = /id="training-size-shots-0-desc">([^<]*)/.exec(page)![1]!;
	const drawn = [...shots].filter((size) => new RegExp(`(^|[^0-9.])${size}, SFT: `).test(words));
	t.equal(drawn.length, 3);
	t.same([drawn[0], drawn.at(-1)], [Math.min(...shots), Math.max(...shots)], 'both ends are there');
	const rows = tableRows(page, `${/([^<>]*), by samples of each class/.exec(page)![1]!}, by samples of each class`);
	t.ok(rows.length > shots.size * 16);
});

t.test(
	'a report of many tasks: further tasks are in folds, long folds say their rows, charts stay short',
	async (t) => {
		const { input, evaluation, out } = await generated(t, { steps: 7 });
		const [first] = evaluation.tasks;
		const many = Array.from({ length: 16 }, (_, i) => `task-${i}`);
		const ofEach = <Row extends { readonly task: string }>(rows: readonly Row[]) =>
			many.flatMap((task) => rows.filter((row) => row.task === first!.name).map((row) => ({ ...row, task })));
		await writeFile(
			input.evaluation,
			JSON.stringify({
				...evaluation,
				tasks: many.map((name) => ({ ...first, name, label: name })),
				probes: ofEach(evaluation.probes),
				differences: ofEach(evaluation.differences),
			}),
		);
		await writeReport(out, input);
		const page = await readFile(out, 'utf8');
		for (const [i, name] of many.entries()) {
			t.equal(page.includes(`<summary>${name}</summary><section class="task"><h3>${name}</h3>`), i >= 8, name);
			t.ok(tableRows(page, `${name}: AUROC`).length > 1);
		}
		const pair = /Table: ([^<]* minus [^<]*)<span class="on-paper"> \((\d+) rows/.exec(page)!;
		const rows = tableRows(page, pair[1]!).filter((cells) => cells.length > 1);
		t.equal(rows.length - 1, Number(pair[2]));
		t.match(page, '<details class="long"><summary>Table: ');
		const words = /id="difference-0-desc">([^<]*)/.exec(page)![1]!;
		t.equal(words.split('; ').length, many.length, 'the longest horizon of each task');
		t.match(textOf(page), 'Drawn are the longest horizons of each task; the tables hold all.');
	},
);
