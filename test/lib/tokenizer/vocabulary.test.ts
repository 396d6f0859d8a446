import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, prepareStore } from '../../../lib/index.js';
import { ageBand, ageTokens, gapClass, gapTokens } from '../../../lib/tokenizer/time-gaps.js';
import { parents } from '../../../lib/tokenizer/vocabulary.js';
import fc from '../../fixtures/property.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../../fixtures/tiny-meds.js';

const minute = 60_000_000;

t.test('gaps fall into classes; short ones have none', async (t) => {
	t.equal(gapClass(4 * minute), -1);
	t.equal(gapTokens[gapClass(5 * minute)], 'GAP//5m-15m');
	t.equal(gapTokens[gapClass(24 * 60 * minute)], 'GAP//1d-3d');
	t.equal(gapTokens[gapClass(10_000 * 24 * 60 * minute)], 'GAP//>=5y');
	fc.assert(fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => a > b || gapClass(a) <= gapClass(b)));
});

t.test('age bands', async (t) => {
	t.equal(ageTokens[ageBand(64.9)], 'AGE//60-64');
	t.equal(ageTokens[ageBand(130)], 'AGE//>=95');
	t.equal(ageBand(-1), -1);
});

t.test('a code backs off along its parts', async (t) => {
	t.same(parents('DIAGNOSIS//ICD10CM//E1165'), [
		'DIAGNOSIS//ICD10CM//E116*',
		'DIAGNOSIS//ICD10CM//E11*',
		'DIAGNOSIS//ICD10CM//*',
		'DIAGNOSIS//*',
	]);
	t.same(parents('Blood Pressure'), []);
});

t.test('codes, bins and groups come from train alone', async (t) => {
	const folder = temporaryFolder(t);
	const patients = Array.from({ length: 12 }, (_, i) =>
		tinyPatient(i + 1, [1, 3, 8], i < 8 ? 'LAB//X//mg' : 'LAB//Y//mg'),
	);
	const rare = [...tinyPatient(20, [1, 2], 'DIAGNOSIS//ICD//E111'), ...tinyPatient(21, [1, 2], 'DIAGNOSIS//ICD//E119')];
	const splits = Object.fromEntries([
		...Array.from({ length: 12 }, (_, i): [number, string] => [i + 1, i < 8 ? 'train' : 'held_out']),
		[20, 'train'],
		[21, 'train'],
	]);
	const meds = await writeTinyMeds(join(folder, 'meds'), { '0.parquet': [...patients.flat(), ...rare] }, splits);
	const manifest = await prepareStore(meds, join(folder, 'store'), {
		tokens: { kind: 'structured', minPatients: 2, bins: 4 },
	});
	const { vocabulary } = await openTokenStore(join(folder, 'store'));
	if (vocabulary.kind !== 'structured' || manifest.coverage.kind !== 'structured') throw new Error('not structured');
	t.ok(vocabulary.file.tokens.includes('LAB//X//mg'));
	t.notOk(vocabulary.file.tokens.includes('LAB//Y//mg'), 'held-out codes are not learnt');
	t.ok(vocabulary.file.tokens.includes('DIAGNOSIS//ICD//E11*'), 'rare codes share a group');
	t.equal(vocabulary.codeToken('DIAGNOSIS//ICD//E111').match, 'backed_off');
	t.equal(vocabulary.codeToken('LAB//Y//mg').match, 'unknown');
	t.equal(manifest.coverage.unknown, 12, 'unknown events are counted');
	const low = vocabulary.valueToken('LAB//X//mg', -100)!;
	const high = vocabulary.valueToken('LAB//X//mg', 100)!;
	t.equal(vocabulary.file.tokens[low], 'Q//1');
	t.ok(high > low);
	t.equal(vocabulary.valueToken('VISIT', 3), undefined);

	await t.rejects(prepareStore(meds, join(folder, 'store')), { code: 'EHR_JEPA_OUTPUT' });
	const other = await writeTinyMeds(
		join(folder, 'other'),
		{
			'0.parquet': tinyPatient(1, [1, 2], 'UNHEARD//OF').map((event) => ({
				...event,
				code: event.code === 'VISIT' ? 'ALSO//NEW' : event.code,
			})),
		},
		{ 1: 'train' },
	);
	await t.rejects(
		prepareStore(other, join(folder, 'refused'), {
			tokens: { kind: 'structured', vocabulary: join(folder, 'store', 'vocabulary.json') },
		}),
		{
			code: 'EHR_JEPA_VOCABULARY',
			message: /all but 20 % of the events but .* % are unknown/,
		},
	);
	await t.rejects(
		openTokenStore(join(folder, 'refused')),
		{ code: 'EHR_JEPA_DATA' },
		'nothing is left that looks whole',
	);
});
