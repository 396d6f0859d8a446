import { spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { modelSizes, RunFolder, runStudy, type StudyOptions } from '../../../lib/index.js';
import { studySummary } from '../../../lib/study/study-markdown.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const bin = fileURLToPath(new URL('../../../../scripts/ehr-jepa.mjs', import.meta.url));
const options: StudyOptions = {
	seeds: 2,
	variants: ['sft', 'smb-structure', 'jepa'],
	patients: 120,
	indexDatesPerPatient: 2,
	steps: 6,
	tokensPerStep: 256,
	contextTokens: 48,
	futureTokens: 24,
	model: modelSizes.tiny,
	draws: 60,
};
// Minutes on a machine that is busy with other things.
t.setTimeout(600_000);
const folder = temporaryFolder(t);
const whole = join(folder, 'whole');

t.test('a study of two seeds, end to end', { timeout: 300_000 }, async (t) => {
	const notes: string[] = [];
	const done: number[] = [];
	const study = await runStudy(whole, options, {
		onProgress: (progress) => {
			if (progress.stage !== 'study') return;
			done.push(progress.done / progress.total!);
			notes.push(progress.note!);
		},
	});
	t.same(
		done,
		[...done].sort((a, b) => a - b),
		'progress goes one way',
	);
	t.equal(done.at(-1), 1);
	t.ok(notes.some((note) => /^seed 2, jepa: training, latent \d/.test(note)));
	t.same(
		study.models.map(({ name }) => name),
		['sft', 'smb-structure', 'jepa', 'untrained', 'demographics', 'counts', 'counts+values', 'simulator'],
	);
	const admissions = study.rows.filter(({ task, horizonDays }) => task === 'hospital-admission' && horizonDays === 365);
	t.equal(admissions.filter(({ minus }) => minus === null).length, 4 * 3 + 3);
	t.same(
		new Set(admissions.map(({ model, minus }) => `${model} ${minus ?? ''}`.trim())),
		new Set([
			...['sft', 'smb-structure', 'jepa', 'untrained', 'demographics', 'counts', 'counts+values'],
			...['sft', 'smb-structure', 'jepa'].flatMap((model) =>
				['untrained', 'demographics', 'counts', 'counts+values'].map((minus) => `${model} ${minus}`),
			),
			...['smb-structure sft', 'jepa sft'],
		]),
	);
	for (const { estimate, nSamples, nPatients } of admissions) {
		t.ok(estimate.low! <= estimate.value! && estimate.value! <= estimate.high! && nSamples >= nPatients);
	}
	const r2 = (model: string) =>
		study.rows.find(
			(row) => row.quantity === 'r2' && row.model === model && row.horizonDays === 0 && row.minus === null,
		)!.estimate.value!;
	t.ok(r2('simulator') > 0.8, `the ceiling: ${r2('simulator')}`);
	t.ok(r2('simulator') > r2('counts+values'));
	t.notOk(
		study.rows.some(
			({ minus, model, quantity }) => minus === 'simulator' || (model === 'simulator' && quantity !== 'r2'),
		),
		'it has the true state alone and is no rival',
	);
	t.same(
		[...new Set(study.rows.filter(({ quantity }) => quantity === 'r2').map(({ horizonDays }) => horizonDays))],
		[0, 30, 180, 365],
	);
	t.same(
		study.rows
			.filter(({ quantity, seed, minus }) => quantity === 'latent-loss/copy-context' && seed === null && minus === null)
			.map(({ model }) => model),
		['smb-structure', 'jepa'],
		'a latent loss where one was trained on',
	);
	t.equal(study.collapse.length, 4);
	t.equal(study.budget.tokensPerRun.length, 2);
	const text = [readFileSync(join(whole, 'study.json'), 'utf8'), readFileSync(join(whole, 'study.md'), 'utf8')].join();
	t.notMatch(text, /NaN|Infinity/);
	t.match(text, /undefined \(1\)/);
	t.match(text, /\(1\) (one class only|\d+ held-out patients? with|\d+ batch)/);
	t.match(studySummary(study), /R2 of the true state/);
});

t.test('variants of a seed share initial weights and windows, seeds do not', async (t) => {
	const firstStep = async (seed: number, variant: string) => {
		const [line] = await (await RunFolder.open(join(whole, 'runs', `seed-${seed}`, variant))).metrics();
		return line as { nextTokenLoss: number; tokens: number };
	};
	const [sft, both, other] = [
		await firstStep(1, 'sft'),
		await firstStep(1, 'smb-structure'),
		await firstStep(2, 'sft'),
	];
	t.equal(sft.tokens, both.tokens);
	t.ok(Math.abs(sft.nextTokenLoss - both.nextTokenLoss) < 1e-5 * sft.nextTokenLoss);
	t.ok(Math.abs(sft.nextTokenLoss - other.nextTokenLoss) > 1e-5 * sft.nextTokenLoss);
});

t.test('aborted, then killed, a study goes on to the same bytes', { timeout: 300_000 }, async (t) => {
	const broken = join(folder, 'broken');
	for (const part of ['cohort', 'store', 'tasks']) cpSync(join(whole, part), join(broken, part), { recursive: true });
	cpSync(join(whole, 'options.json'), join(broken, 'options.json'));
	const controller = new AbortController();
	await t.rejects(
		runStudy(broken, options, {
			signal: controller.signal,
			onProgress: ({ note }) => {
				if (note?.includes('smb-structure: training, next')) controller.abort();
			},
		}),
		{ code: 'ABORT_ERR' },
	);
	t.notOk(existsSync(join(broken, 'study.json')));
	const file = join(folder, 'options.json');
	writeFileSync(file, JSON.stringify(options));
	const child = spawn(process.execPath, [bin, 'study', '--out', broken, '--config', file], { stdio: 'ignore' });
	const ended = new Promise((resolve) => child.on('exit', resolve));
	const runs = join(broken, 'runs', 'seed-2');
	while (!existsSync(runs) && child.exitCode === null) await sleep(5);
	child.kill('SIGKILL');
	await ended;
	t.ok(existsSync(runs) && !existsSync(join(broken, 'study.json')), 'killed in its midst');
	const kept = readFileSync(join(broken, 'runs/seed-1/sft/metrics.jsonl'), 'utf8');
	await runStudy(broken, options);
	t.equal(readFileSync(join(broken, 'runs/seed-1/sft/metrics.jsonl'), 'utf8'), kept, 'a finished run is kept');
	for (const name of ['study.json', 'study.md']) {
		t.equal(readFileSync(join(broken, name), 'utf8'), readFileSync(join(whole, name), 'utf8'), name);
	}
});

t.test(
	'a finished study is read again with less, and refuses what its files are not',
	{ timeout: 300_000 },
	async (t) => {
		const before = readdirSync(join(whole, 'runs/seed-2/sft/checkpoints'));
		const less = await runStudy(whole, { ...options, seeds: 1, variants: ['sft', 'jepa'] });
		t.same([...new Set(less.rows.map(({ seed }) => seed))], [null], 'one seed is its own mean');
		t.same(readdirSync(join(whole, 'runs/seed-2/sft/checkpoints')), before);
		await t.rejects(runStudy(whole, { ...options, steps: 7 }), {
			code: 'EHR_JEPA_OUTPUT',
			message: /differs in steps \(6, now 7\); choose another folder/,
		});
		await t.rejects(runStudy(join(whole, 'cohort'), options), { code: 'EHR_JEPA_OUTPUT', message: /must be empty/ });
		await t.rejects(runStudy(join(folder, 'x'), { step: 3 } as StudyOptions), {
			code: 'EHR_JEPA_CONFIG',
			message: /options has no option "step"/,
		});
		await t.rejects(runStudy(join(folder, 'x'), { variants: ['sft', 'sft'] }), {
			message: /must not name a variant twice/,
		});
		t.notOk(existsSync(join(folder, 'x')));
	},
);
