import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
	type CrossValidationOptions,
	crossValidate,
	modelSizes,
	openMeds,
	simulateCohort,
} from '../../../lib/index.js';
import { splits } from '../../../lib/types.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

t.setTimeout(600_000);
const folder = temporaryFolder(t);
const meds = join(folder, 'cohort');
const options: CrossValidationOptions = {
	meds,
	folds: 3,
	repeats: 2,
	variants: ['sft'],
	indexDatesPerPatient: 2,
	steps: 3,
	tokensPerStep: 256,
	contextTokens: 48,
	futureTokens: 24,
	model: modelSizes.tiny,
	draws: 60,
	tasks: [
		{
			name: 'hospital-admission',
			label: 'Hospital admission',
			kind: 'event',
			codes: { exact: ['HOSPITAL_ADMISSION'], prefix: ['HOSPITAL_ADMISSION//'] },
			horizonsDays: [365],
		},
	],
};
const whole = join(folder, 'whole');

t.test(
	'every patient is held out once in a repeat, and AUROC compares within folds',
	{ timeout: 300_000 },
	async (t) => {
		await simulateCohort(meds, { patients: 60, seed: 4 });
		const before = readdirSync(meds, { recursive: true }).sort();
		const result = await crossValidate(whole, options);
		t.same(readdirSync(meds, { recursive: true }).sort(), before, 'the data are left as they are');
		const own = await openMeds(meds);
		const everyone = splits.flatMap((split) => own.subjects[split]).map(String);
		const dealt: string[] = [];
		for (const repeat of [1, 2]) {
			const heldOut: string[] = [];
			for (const fold of [1, 2, 3]) {
				const cohort = join(whole, `repeat-${repeat}`, `fold-${fold}`, 'cohort');
				const { subjects, events } = await openMeds(cohort);
				t.equal(events, own.events, 'a fold holds every event');
				t.same(new Set(splits.flatMap((split) => subjects[split]).map(String)), new Set(everyone));
				t.same([subjects.train.length, subjects.tuning.length, subjects.held_out.length], [20, 20, 20]);
				heldOut.push(...subjects.held_out.map(String));
			}
			t.same([...heldOut].sort(), [...everyone].sort(), `everyone once in repeat ${repeat}`);
			dealt.push(heldOut.join());
		}
		t.not(dealt[0], dealt[1], 'another repeat deals otherwise');
		t.match(
			result.models.map(({ name }) => name),
			['sft', 'untrained', 'demographics', 'counts', 'counts+values', 'boosting'],
		);
		t.match(result.tasks, [{ name: 'hospital-admission', folds: 6, foldsRead: 6, withoutState: 0, notRead: [] }]);
		for (const model of ['sft', 'counts']) {
			const values = [1, 2].map((repeat) => pairsInOrder(repeat, model));
			for (const [i, value] of values.entries()) {
				const row = result.rows.find((row) => row.model === model && row.minus === null && row.seed === i + 1);
				t.ok(Math.abs(row!.estimate.value! - value) < 1e-12, `${model}, repeat ${i + 1}: ${value}`);
			}
			const mean = result.rows.find((row) => row.model === model && row.minus === null && row.seed === null)!;
			t.ok(Math.abs(mean.estimate.value! - (values[0]! + values[1]!) / 2) < 1e-12);
			t.ok(mean.estimate.low! < mean.estimate.value! && mean.estimate.value! < mean.estimate.high!);
			t.equal(mean.overSeeds!.seeds, 2);
		}
		t.match(readFileSync(join(whole, 'cross-validation.md'), 'utf8'), /2 × 3 folds.*AUROC within folds/s);
	},
);

/** Share of pairs of a positive and a negative of one fold in the right order, counted one by one. */
function pairsInOrder(repeat: number, model: string): number {
	let [right, pairs] = [0, 0];
	for (const fold of [1, 2, 3]) {
		const file = join(whole, 'readings', `repeat-${repeat}`, `fold-${fold}.json`);
		const [{ truth, models }] = JSON.parse(readFileSync(file, 'utf8')).tasks;
		const { probabilities } = models[model];
		for (const [i, a] of truth.entries()) {
			for (const [j, b] of truth.entries()) {
				if (a !== 1 || b !== 0) continue;
				pairs++;
				right += probabilities[i] > probabilities[j] ? 1 : probabilities[i] === probabilities[j] ? 0.5 : 0;
			}
		}
	}
	return right / pairs;
}

t.test('one that was interrupted goes on to the same bytes', { timeout: 300_000 }, async (t) => {
	const again = join(folder, 'again');
	const one = { ...options, repeats: 1 };
	const controller = new AbortController();
	await t.rejects(
		crossValidate(again, one, {
			signal: controller.signal,
			onProgress: ({ note }) => {
				if (note?.startsWith('repeat 1, fold 2, seed 1, sft: states')) controller.abort();
			},
		}),
		{ code: 'ABORT_ERR' },
	);
	t.same(readdirSync(join(again, 'readings', 'repeat-1')), ['fold-1.json'], 'the finished fold is kept');
	await crossValidate(again, one);
	for (const fold of [1, 2, 3]) {
		const file = join('readings', 'repeat-1', `fold-${fold}.json`);
		t.same(readFileSync(join(again, file)), readFileSync(join(whole, file)), `fold ${fold}`);
	}
	// One repeat of a folder that holds two.
	await crossValidate(whole, one);
	const file = 'cross-validation.json';
	t.same(readFileSync(join(again, file)), readFileSync(join(whole, file)), 'one repeat is read without the other');
});

t.test('what cannot be cross-validated is refused', async (t) => {
	const none = join(folder, 'none');
	await t.rejects(crossValidate(none, { ...options, folds: 2 }), { message: /folds/ });
	const codes = { exact: ['MEDS_DEATH'], prefix: [] };
	const time = { name: 'death', label: 'Death', kind: 'time-to-event' as const, codes, horizonsDays: [30] };
	await t.rejects(crossValidate(none, { ...options, tasks: [time] }), {
		code: 'EHR_JEPA_CONFIG',
		message: /tasks\.0: must be a task of yes and no.*by evaluate/,
	});
	await t.rejects(crossValidate(none, { ...options, folds: 61 }), {
		message: '[cross-validate] folds must be at most the 60 patients but are 61',
	});
	await t.rejects(crossValidate(whole, { ...options, steps: 4 }), {
		message: /must hold a cross-validation of the same options but differs in steps \(3, now 4\)/,
	});
	await t.rejects(crossValidate(meds, options), { code: 'EHR_JEPA_OUTPUT' });
	t.ok(realpathSync(meds));
});
