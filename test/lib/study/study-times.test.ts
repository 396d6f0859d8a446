/** Times to events in a study: the same models, seeds and pairs as of every other number. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { modelSizes, runStudy } from '../../../lib/index.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);

t.test('concordances and AUROC by seed, as means and as differences', { timeout: 300_000 }, async (t) => {
	const out = join(folder, 'study');
	const study = await runStudy(out, {
		seeds: 2,
		variants: ['sft', 'jepa'],
		patients: 60,
		indexDatesPerPatient: 1,
		steps: 1,
		tokensPerStep: 128,
		contextTokens: 32,
		futureTokens: 16,
		model: modelSizes.tiny,
		layers: 'last',
		draws: 40,
		tasks: [
			{
				name: 'time-to-visit',
				label: 'Outpatient visit',
				kind: 'time-to-event',
				codes: { exact: ['VISIT//OUTPATIENT'], prefix: [] },
				horizonsDays: [60, 30],
			},
			{
				name: 'time-to-nothing',
				label: 'Nothing',
				kind: 'time-to-event',
				codes: { exact: ['NO_SUCH_CODE'], prefix: [] },
				horizonsDays: [30],
			},
		],
	});
	const times = study.rows.filter(({ task }) => task === 'time-to-visit');
	t.same(
		[...new Set(times.map(({ quantity, horizonDays }) => `${quantity} ${horizonDays ?? ''}`.trim()))],
		['concordance', 'ipcw-concordance', 'time-dependent-auroc 30', 'time-dependent-auroc 60'],
	);
	const rows = times.filter(({ quantity }) => quantity === 'concordance');
	const means = rows.filter(({ seed, minus }) => seed === null && minus === null);
	t.same(
		means.map(({ model }) => model),
		['sft', 'jepa', 'untrained', 'demographics', 'counts', 'counts+values'],
	);
	for (const { model, estimate, overSeeds, nPositives, nSamples } of means) {
		t.ok(estimate.low! <= estimate.value! && estimate.value! <= estimate.high! && nPositives! <= nSamples, model);
		const seeds = rows.filter((row) => row.model === model && row.minus === null && row.seed !== null);
		t.equal(seeds.length, ['sft', 'jepa', 'untrained'].includes(model) ? 2 : 0);
		const mean = seeds.reduce((sum, row) => sum + row.estimate.value! / seeds.length, 0);
		if (seeds.length > 0) t.ok(Math.abs(mean - estimate.value!) < 1e-12 && overSeeds!.seeds === 2);
	}
	const valueBy = (model: string, minus: string | null) =>
		rows.find((row) => row.seed === null && row.model === model && row.minus === minus)!.estimate.value!;
	t.ok(Math.abs(valueBy('jepa', 'sft') - (valueBy('jepa', null) - valueBy('sft', null))) < 1e-12);

	const labels = study.rows.find(({ task }) => task === 'time-to-visit')!;
	const reading = JSON.parse(readFileSync(join(out, 'readings/demographics.json'), 'utf8')) as {
		readonly survival: readonly { readonly scores?: readonly number[]; readonly undefinedReason?: string }[];
	};
	t.equal(reading.survival[0]!.scores!.length, labels.nSamples);
	t.equal(reading.survival[1]!.undefinedReason?.startsWith('no events in train'), true);
	const nothing = study.rows.filter(({ task }) => task === 'time-to-nothing');
	t.ok(nothing.length > 0 && nothing.every(({ estimate }) => estimate.undefinedReason === 'no events in held-out'));
	const tables = readFileSync(join(out, 'study.md'), 'utf8');
	t.match(tables, /## time-to-visit: \d+ samples, \d+ with the event, \d+ patients/);
	t.notMatch(tables, /NaN/);
});
