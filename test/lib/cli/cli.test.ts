import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import yargs from 'yargs';
import { commands } from '../../../lib/cli/commands.js';
import { demoTraining } from '../../../lib/cli/demo-pipeline.js';
import { probeTable } from '../../../lib/cli/probe-table.js';
import { duration, progressText } from '../../../lib/cli/progress-line.js';
import { EvaluationFile } from '../../../lib/evaluate/evaluation-file.js';
import { openTokenStore } from '../../../lib/index.js';
import { embedRun } from '../../../lib/pipeline/embed-run.js';
import { readTasks } from '../../../lib/tasks/read.js';
import { generateReportInput } from '../../fixtures/report-input.js';
import { runCli } from '../../fixtures/run-cli.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const bin = fileURLToPath(new URL('../../../../scripts/ehr-jepa.mjs', import.meta.url));
const folder = temporaryFolder(t);
const run = (...args: string[]) =>
	spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: 'utf8', timeout: 240_000 });

t.test('each command works alone on what the one before wrote', async (t) => {
	const ok = (...args: string[]) => {
		const { status, stdout, stderr } = run(...args);
		t.equal(status, 0, `${args[0]}: ${status === 0 ? '' : stderr.slice(-500)}`);
		return stdout;
	};
	const simulated = JSON.parse(ok('simulate', 'cohort', '--patients', '150', '--json'));
	t.equal(simulated.patients, 150);
	t.match(ok('prepare', 'cohort', 'store'), /events became \d+ tokens/);
	writeFileSync(
		join(folder, 'train.json'),
		// The dtype that `score` reads an exported folder in, whatever this processor multiplies.
		JSON.stringify({
			...{ tokensPerStep: 512, contextTokens: 48, futureTokens: 24, tuningBatches: 1 },
			computeDtype: 'float32',
		}),
	);
	t.match(
		ok('train', 'store', 'runs/both', '--config', 'train.json', '--size', 'tiny', '--steps', '4'),
		/4 steps, .* parameters; tuning next-token loss \d/,
	);
	t.match(
		ok('train', 'store', 'runs/sft', '--config', 'train.json', '--size', 'tiny', '--steps', '2', '--objective', 'sft'),
		/latent loss not used/,
	);
	t.match(ok('tasks', 'cohort', 'tasks'), /death/);
	t.match(ok('embed', 'runs/both', 'store', 'tasks', 'both.parquet', '--pooling', 'mean'), /states of 32 numbers/);
	ok('embed', 'runs/both', 'store', 'tasks', 'untrained.parquet', '--weights', 'initial');
	t.match(ok('embed', 'runs/both', 'store', 'tasks', 'all.parquet', '--layers', 'all'), /states of 96 numbers/);
	t.match(ok('embed', 'runs/both', 'store', 'tasks', 'one.parquet', '--layers', '0, 1'), /states of 64 numbers/);
	const evaluated = ok(
		'evaluate',
		'cohort',
		'tasks',
		'evaluation.json',
		'--draws',
		'50',
		'--model',
		'both=both.parquet',
		'--model',
		'untrained=untrained.parquet',
		'--store',
		'store',
		'--json',
	);
	t.match(JSON.parse(evaluated).data, { vocabulary: { kind: 'structured' }, coverage: { events: simulated.events } });
	t.same(
		EvaluationFile.parse(JSON.parse(evaluated)).models.map(({ name }) => name),
		['both', 'untrained', 'demographics', 'counts', 'counts+values', 'boosting', 'counts-window', 'simulator'],
	);
	t.notMatch(evaluated, /NaN/);
	ok('report', 'evaluation.json', 'report.html', '--run', 'both=runs/both');
	t.match(readFileSync(join(folder, 'report.html'), 'utf8'), /^<!doctype html>.*What the tokens are made of/is);
	t.match(ok('export', 'runs/both', 'exported', '--store', 'store'), /step 4, 24 tensors/);
	t.match(
		ok('info', 'exported'),
		/Qwen3 decoder of [\d,]+ parameters, float32.*24 tensors.*every rule of names, shapes and configuration checked/s,
	);
	writeFileSync(
		join(folder, 'more.json'),
		JSON.stringify({ tokensPerStep: 512, contextTokens: 48, futureTokens: 24, tuningBatches: 1 }),
	);
	t.match(ok('train', 'store', 'runs/more', '--from', 'exported', '--config', 'more.json', '--steps', '2'), /2 steps/);
	writeFileSync(join(folder, 'ids.jsonl'), '[5, 6, 7, 8]\n\n{"tokens": [9]}\n');
	const scored = JSON.parse(ok('score', 'runs/both', 'run.arrow', '--tokens', 'ids.jsonl', '--json'));
	t.match(scored, { sequences: 2, tokens: 5 });
	t.equal(
		JSON.parse(ok('score', 'exported', 'hf.arrow', '--tokens', 'ids.jsonl', '--json', '--hidden')).meanLogProbability,
		scored.meanLogProbability,
	);
	t.match(ok('score', 'runs/both', 'days.arrow', '--store', 'store'), /\d+ days of \d+ held_out patients/);
	const info = async (...args: string[]) => {
		const { status, stdout } = await runCli(t, ['info', ...args], folder);
		t.equal(status, 0, `info ${args[0]}`);
		return stdout;
	};
	t.match(await info('cohort'), /`ehr-jepa validate` checks every rule/);
	t.match(await info('store'), /token store of ehr-jepa simulated cohort/);
	t.match(await info('runs/both'), /whole checkpoints at steps: 4/);
	t.match(JSON.parse(ok('info', '--json')), { package: /^\d/, torch: /^2/ });
});

t.test('an embedding file is the same by whichever way it is made, wherever the run lies', async (t) => {
	cpSync(join(folder, 'runs/both'), join(folder, 'elsewhere'), { recursive: true });
	const store = await openTokenStore(join(folder, 'store'));
	const again = join(folder, 'again.parquet');
	const tasks = await readTasks(join(folder, 'tasks'));
	await embedRun(again, join(folder, 'elsewhere'), store, tasks, { pooling: 'mean' });
	await store.close();
	t.ok(readFileSync(again).equals(readFileSync(join(folder, 'both.parquet'))));
});

t.test('what is wrong is said in one message, with its exit code', async (t) => {
	const fails = async (status: number, message: RegExp, ...args: string[]) => {
		const result = await runCli(t, args, folder);
		t.equal(result.status, status, `${args.join(' ')} exits with ${status}`);
		t.match(result.stderr, message);
		t.notMatch(result.stderr, /at .*\.js:\d+/, 'no stack for a known error');
		if (status === 2) t.notMatch(result.stderr, /^(on c|writing to)/m, 'nothing is begun before the options are read');
	};
	writeFileSync(join(folder, 'wrong.json'), '{"step":3}');
	await fails(2, /Name a command/);
	await fails(2, /Did you mean train/, 'trian');
	await fails(
		2,
		/Unknown argument: patient\nDid you mean --patients\?\nSee: ehr-jepa simulate --help/,
		'simulate',
		'x',
		'--patient',
		'3',
	);
	await fails(2, /Unknown argument: stpes\nDid you mean --steps\?/, 'train', 'x', 'y', '--stpes', '3');
	await fails(2, /patients: .* but it is -1/, 'simulate', 'x', '--patients', '-1');
	for (const option of ['definitions', 'index-rules'])
		await fails(2, /must be a list of .* but is an object/, 'tasks', 'cohort', 'x', `--${option}`, 'wrong.json');
	await fails(2, /options has no option "step"/, 'study', '--out', 'x', '--config', 'wrong.json');
	await fails(2, /Unknown argument: seed/, 'study', '--out', 'x', '--seed', '3');
	await fails(2, /Invalid values/, 'study', '--out', 'x', '--variants', 'sft', 'lejepa');
	await fails(2, /options has no option "step"/, 'train', 'store', 'runs/x', '--config', 'wrong.json');
	await fails(2, /the nearest is steps/, 'train', '--set', 'stesp=3', 'store', 'runs/x');
	await fails(2, /parallel\.kind: must be one of/, 'train', 'store', 'x', '--resume', '--set', 'parallel.kind=zero4');
	await fails(
		2,
		/--steps and --set steps are the same option/,
		'train',
		'store',
		'runs/x',
		'--steps',
		'3',
		'--set',
		'steps=4',
	);
	await fails(
		2,
		/--rollout must name a --model but names y/,
		...['evaluate', 'cohort', 'tasks', 'e.json', '--model', 'x=x.parquet', '--rollout', 'y=y.parquet'],
	);
	await fails(2, /--model must be name=embeddings\.parquet/, 'evaluate', 'cohort', 'tasks', 'e.json', '--model', 'x');
	await fails(3, /must be a folder of parquet files/, 'prepare', 'nowhere', 'x');
	await fails(3, /must be the manifest of a token store/, 'train', 'cohort', 'runs/x');
	await fails(3, /must be a MEDS data set/, 'info', 'nowhere');
	await fails(4, /must be empty or absent/, 'prepare', 'cohort', 'store');
	await fails(4, /must be empty or absent/, 'train', 'store', 'runs/both');
	await fails(4, /both\.parquet must not exist but does/, 'embed', 'runs/both', 'store', 'tasks', 'both.parquet');
	await fails(4, /--out must be empty, absent or an unfinished demo/, 'demo', '--out', 'cohort');
	await fails(2, /one of --tokens and --store must be given/, 'score', 'exported', 'x');
	await fails(2, /--hidden belongs to --tokens/, 'score', 'runs/both', 'x', '--store', 'store', '--hidden');
	await fails(3, /line 1 must be JSON/, 'score', 'exported', 'x', '--tokens', 'report.html');
	await fails(3, /must be a run folder or a HuggingFace folder/, 'score', 'nowhere', 'x', '--tokens', 'ids.jsonl');
	await fails(2, /maxShardSize/, 'export', 'runs/both', 'x', '--max-shard-size', 'big');
	t.notOk(existsSync(join(folder, 'x')), 'nothing is left behind');
	const process_ = run('trian');
	t.equal(process_.status, 2, 'the process has the exit code');
	t.match(process_.stderr, /Did you mean train/);
	const json = run('info', 'nowhere', '--json');
	t.equal(json.status, 3);
	t.match(JSON.parse(json.stdout), { error: { code: 'EHR_JEPA_DATA', message: /nowhere/ } });
});

t.test('the options of every command are frozen: a knob that changes results belongs to a configuration', async (t) => {
	const options = Object.fromEntries(
		await Promise.all(
			commands.map(async ({ command, load }) => {
				const { builder } = await load();
				const parser = builder(yargs([])) as { getOptions(): { key: Record<string, unknown> } };
				const names = Object.keys(parser.getOptions().key).filter(
					(name) => !['help', 'version', 'json'].includes(name),
				);
				return [command, names.sort()];
			}),
		),
	);
	t.same(options, {
		demo: ['birth-code', 'death-code', 'device', 'meds', 'out', 'patients', 'seed', 'set', 'steps'],
		'simulate <out>': ['latent-patients', 'max-years', 'min-years', 'out', 'patients', 'seed', 'threads'],
		'import-omop <cdm> <out>': [
			'cdm',
			'encoding',
			'max-dropped',
			'max-unknown-concepts',
			'memory-limit',
			'midnight',
			'missing-concept',
			'notes',
			'out',
			'seed',
			'unmapped',
			'vocabulary',
		],
		doctor: ['device', 'quick'],
		'cross-validate <meds>': [
			'birth-code',
			'config',
			'death-code',
			'device',
			'folds',
			'meds',
			'out',
			'repeats',
			'set',
			'size',
			'steps',
			'variants',
		],
		study: ['config', 'device', 'out', 'patients', 'seeds', 'set', 'size', 'steps', 'variants'],
		'validate <meds>': ['birth-code', 'death-code', 'max-code-length', 'meds'],
		'prepare <meds> <out>': [
			'assemble',
			'bins',
			'birth-code',
			'death-code',
			'max-unknown',
			'meds',
			'min-patients',
			'out',
			'serialiser',
			'shard',
			'special-tokens',
			'threads',
			'tokenizer',
			'tokens',
			'vocab-size',
			'vocabulary',
		],
		plan: ['config', 'device', 'from', 'gpus', 'objective', 'preset', 'set', 'size', 'store', 'vocab-size'],
		launch: ['master-addr', 'master-port', 'max-restarts', 'n', 'node-rank', 'nodes', 'processes'],
		'train <store> <run>': [
			'collective-timeout',
			'config',
			'device',
			'forbid-waits',
			'from',
			'objective',
			'preset',
			'rendezvous-timeout',
			'resume',
			'run',
			'seed',
			'set',
			'size',
			'steps',
			'store',
		],
		'tasks <meds> <out>': [
			'birth-code',
			'buffer-days',
			'death-code',
			'definitions',
			'drop-days-before-death',
			'hide-code',
			'hide-deciding-codes',
			'index',
			'index-rules',
			'labels',
			'library',
			'meds',
			'min-history-days',
			'out',
			'per-patient',
			'predicates',
			'seed',
			'task',
		],
		'embed <run> <store> <tasks> <out>': [
			'assemble',
			'checkpoint',
			'collective-timeout',
			'context-tokens',
			'device',
			'dtype',
			'encoder',
			'layers',
			'out',
			'pooling',
			'rendezvous-timeout',
			'rollout',
			'run',
			'shard',
			'store',
			'tasks',
			'weights',
		],
		'evaluate <meds> <tasks> <out>': [
			'assemble',
			'collective-timeout',
			'draws',
			'meds',
			'model',
			'out',
			'patient',
			'predictions',
			'rendezvous-timeout',
			'replicates',
			'rollout',
			'seed',
			'shard',
			'store',
			'subgroup',
			'tasks',
			'time-to-event-probe',
			'training-sizes',
			'trajectories',
		],
		'probe <out>': [
			'column',
			'draws',
			'event',
			'features',
			'horizon',
			'kind',
			'label-column',
			'labels',
			'out',
			'seed',
			'splits',
			'time',
		],
		'metrics [out]': ['draws', 'model', 'out', 'seed'],
		'view <directory>': ['directory', 'port'],
		'report <evaluation> <out>': ['earlier', 'evaluation', 'out', 'run', 'title', 'trajectories'],
		'score <model> <out>': [
			'assemble',
			'checkpoint',
			'collective-timeout',
			'device',
			'dtype',
			'hidden',
			'model',
			'out',
			'rendezvous-timeout',
			'shard',
			'split',
			'store',
			'tokens',
			'window',
		],
		'export <model> <out>': [
			'adapters',
			'base-model',
			'checkpoint',
			'dtype',
			'max-shard-size',
			'model',
			'out',
			'store',
			'tokenizer',
		],
		'info [path]': ['path'],
	});
});

t.test(
	'an interrupted demo goes on with the same command, and a finished one is not touched',
	{ timeout: 300_000 },
	async (t) => {
		const args = ['demo', '--out', 'demo', '--patients', '60', '--steps', '4'];
		mkdirSync(join(folder, 'demo'));
		const options = { meds: null, patients: 60, steps: 4, seed: 1, train: demoTraining() };
		writeFileSync(join(folder, 'demo', 'demo.json'), JSON.stringify(options));
		run('simulate', 'demo/cohort', '--patients', '60');
		const before = readFileSync(join(folder, 'demo/cohort/metadata/codes.parquet'));
		const { status, stderr, stdout } = run(...args);
		t.equal(status, 0, stderr.slice(-500));
		t.match(stdout, /report: demo\/report\.html/);
		t.notMatch(stderr, /simulate/, 'the finished stage was kept');
		t.ok(before.equals(readFileSync(join(folder, 'demo/cohort/metadata/codes.parquet'))));
		t.match(EvaluationFile.parse(JSON.parse(readFileSync(join(folder, 'demo/evaluation.json'), 'utf8'))), {
			models: [
				{ name: 'sft' },
				{ name: 'sft+jepa' },
				{ name: 'untrained' },
				{ name: 'demographics' },
				{ name: 'counts' },
				{ name: 'counts+values' },
				{ name: 'boosting' },
				{ name: 'counts-window' },
				{ name: 'simulator', kind: 'ceiling' },
			],
		});
		const again = await runCli(t, args, folder);
		t.equal(again.status, 4);
		t.match(again.stderr, /holds a finished demo/);
	},
);

t.test('a table of probes keeps why a figure is undefined below it', async (t) => {
	const { evaluation } = await generateReportInput({ directory: folder, undefinedEstimates: true });
	const text = probeTable(evaluation);
	t.match(text, /undefined \(1\)/);
	t.match(text, /^\(1\) \S/m);
	t.notMatch(text, /NaN/);
	t.ok(text.split('\n').every((line: string) => line.length < 160));
});

t.test('a table of eight models fits a terminal, and says where the intervals are', async (t) => {
	const { evaluation } = await generateReportInput({ directory: temporaryFolder(t) });
	const [first] = evaluation.models;
	const models = Array.from({ length: 8 }, (_, i) => ({ ...first!, name: `a-baseline-${i}` }));
	const ofFirst = evaluation.probes.filter(({ model }) => model === first!.name);
	const probes = models.flatMap(({ name }) => ofFirst.map((probe) => ({ ...probe, model: name })));
	const text = probeTable({ ...evaluation, models, probes });
	t.ok(text.split('\n').every((line: string) => line.length < 160));
	t.match(text, /the intervals$/);
	t.match(probeTable({ ...evaluation, models: models.slice(0, 2), probes }), /\[0\.\d+, 0\.\d+\]/);
});

t.test('no option that excludes another has a value of its own', async (t) => {
	// yargs takes a default for given: `prepare --shard` was refused for an `--assemble` that nobody gave.
	for (const { command, load } of commands) {
		const parser = (await load()).builder(yargs([])) as {
			getOptions(): { default: Record<string, unknown> };
			getInternalMethods(): {
				getValidationInstance(): { getConflicting(): Record<string, readonly string[]> };
			};
		};
		const excluding = parser.getInternalMethods().getValidationInstance().getConflicting();
		const names = Object.entries(excluding).flatMap(([name, others]) => [name, ...others]);
		for (const name of names) t.equal(parser.getOptions().default[name], undefined, `${command}: --${name}`);
	}
});

t.test('a progress line has rate and time left', async (t) => {
	const progress = { stage: 'train', done: 120, total: 500, unit: 'steps', note: 'next-token 1.9' };
	t.match(progressText(progress, 60, 0), /^train\s+120\/500 steps\s+2\.0 steps\/s\s+3m 10s left\s+next-token 1\.9$/);
	t.match(progressText({ ...progress, done: 500 }, 60, 0), /took 1m 00s/);
	t.notMatch(progressText({ stage: 'x', done: 0, unit: 'steps' }, 0, 0), /NaN|Infinity/);
	t.equal(duration(3725), '1h 02m');
});
