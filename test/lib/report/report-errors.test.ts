import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError, DataError, OutputError } from '../../../lib/errors.js';
import type { EvaluationFile } from '../../../lib/evaluate/evaluation-file.js';
import { writeReport } from '../../../lib/report/report.js';
import type { ReportInput } from '../../../lib/report/report-data.js';
import { textOf } from '../../fixtures/html-page.js';
import { type GeneratedReport, generateReportInput } from '../../fixtures/report-input.js';

async function generated(test: Test): Promise<GeneratedReport & { out: string }> {
	const directory = test.testdir();
	return { ...(await generateReportInput({ directory, steps: 5 })), out: join(directory, 'report.html') };
}

t.test('malformed input is refused with file and rule', async (t) => {
	const refused = async (
		about: string,
		change: (made: GeneratedReport) => Promise<void>,
		file: RegExp,
		rule: RegExp,
	) => {
		await t.test(about, async (t) => {
			const { out, ...made } = await generated(t);
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
		/must hold an object/,
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
	const { out, input } = await generated(t);
	await appendFile(join(input.runs[0]!.directory, 'metrics.jsonl'), '{"kind":"train","st');
	await writeReport(out, input);
	t.match(textOf(await readFile(out, 'utf8')), 'The last line of SFT was cut off');
});

t.test('a report that cannot be written leaves nothing', async (t) => {
	const { input } = await generated(t);
	await t.rejects(writeReport(join(t.testdirName, 'missing', 'report.html'), input), OutputError);
	t.notOk((await readdir(t.testdirName)).includes('missing'));
});

t.test('a run that is no model, two of one, and evaluations of which nothing would be drawn are refused', async (t) => {
	const { out, input } = await generated(t);
	const [run, other] = input.runs;
	const refused = (runs: ReportInput['runs'], earlier: readonly string[] = []) =>
		writeReport(out, { ...input, runs, earlier });
	const stranger = refused([{ ...run!, name: 'stf' }]);
	await t.rejects(stranger, ConfigError);
	await t.rejects(stranger, /name of a model of the evaluation \(sft, .*but is called stf/);
	await t.rejects(refused([run!, { ...other!, name: run!.name }]), /once for a model but sft has two folders/);
	const undrawn = refused([], [input.evaluation]);
	await t.rejects(undrawn, DataError);
	await t.rejects(undrawn, /models sft, .*; runs none; give the runs too: --run name=folder/);
	await writeReport(out, { ...input, earlier: [input.evaluation] });
});
