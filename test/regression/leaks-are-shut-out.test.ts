/** Promise: what an evaluation may not know is kept from it. Each guard is shown with the leak that it stops. */
import { join } from 'node:path';
import t from 'tap';
import { LifeCodes } from '../../lib/data/life-codes.js';
import { openMeds } from '../../lib/data/meds.js';
import { countFeatures } from '../../lib/evaluate/count-features.js';
import { demographicFeatures } from '../../lib/evaluate/demographic-features.js';
import { requireProvenance } from '../../lib/evaluate/provenance.js';
import { buildTasks, openTokenStore, prepareStore, readLabels } from '../../lib/index.js';
import { hideCodes } from '../../lib/sample/hidden-codes.js';
import { contextStart, contextTokens, visibleAt } from '../../lib/sample/window.js';
import { hiddenCodesFingerprint, readTasks } from '../../lib/tasks/read.js';
import type { Vocabulary } from '../../lib/tokenizer/vocabulary.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type TinyEvent, writeTinyMeds } from '../fixtures/tiny-meds.js';

const death = {
	name: 'death',
	label: 'Death',
	kind: 'event' as const,
	codes: { exact: ['MEDS_DEATH'], prefix: [] },
	horizonsDays: [2],
};
const died = 'DISCHARGE//DIED';

/** A discharge "DIED" minutes before a death that is only a date. */
const events = Array.from({ length: 40 }, (_, i) => i + 1).flatMap((subject): TinyEvent[] => {
	const at = (day: string, code: string, time = '10:00:00') => ({ subject, time: `2020-01-${day} ${time}`, code });
	const stay = ['01', '02', '03'].map((day) => at(day, 'VISIT'));
	const sex = { subject, time: null, code: subject % 4 < 2 ? 'GENDER//F' : 'GENDER//M' };
	const birth = { subject, time: `${1940 + (subject % 5)}-01-01 00:00:00`, code: 'MEDS_BIRTH' };
	return subject % 2 === 0
		? [sex, birth, ...stay, at('04', died, '23:50:00'), at('05', 'MEDS_DEATH', '00:00:00')]
		: [sex, birth, ...stay, at('04', 'DISCHARGE//HOME', '23:50:00'), at('05', 'VISIT', '00:00:00'), at('20', 'VISIT')];
});
const folder = temporaryFolder(t);
const meds = writeTinyMeds(join(folder, 'meds'), { 'train/0.parquet': events });
const build = async (name: string, more: object) => {
	const out = join(folder, name);
	await buildTasks(await meds, out, { tasks: [death], perPatient: 10, ...more });
	return readTasks(out);
};
const at = (time: string) => BigInt(Date.parse(`${time}Z`)) * 1000n;

t.test('a code that names the outcome is found, reported, and hidden from baselines and encoders', async (t) => {
	const leaking = await build('leaking', {});
	t.same(leaking.list.hiddenCodes, []);
	t.ok(leaking.list.tasks[0]!.decidingCodes.some(({ code }) => code === died));
	const { list, indexDates } = await build('hidden', { hideDecidingCodes: true });
	t.ok(list.hiddenCodes.includes(died));
	t.match(list.notes.join(), /events of \d+ codes are hidden from encoders and baselines: .*DISCHARGE\/\/DIED/);
	t.same(list.indexDates, leaking.list.indexDates, 'the samples are the same');

	// What a baseline sees: with the leak, two samples that differ by it alone are told apart.
	const dataset = await openMeds(await meds);
	const eve = indexDates.filter(({ predictionTime }) => predictionTime === at('2020-01-04T23:50:00'));
	t.equal(eve.length, 40);
	const counts = async (hiddenCodes: readonly string[]) => {
		const lifeCodes = new LifeCodes();
		const { values, columns } = await countFeatures({ dataset, indexDates: eve, lifeCodes, hiddenCodes });
		// Age apart.
		return eve.map(({ subjectId }, row) => ({
			dies: subjectId % 2n === 0n,
			features: [...values.subarray(row * columns, (row + 1) * columns - 1)].join(),
		}));
	};
	const distinct = (rows: { dies: boolean; features: string }[], dies: boolean) =>
		new Set(rows.filter((row) => row.dies === dies).map(({ features }) => features));
	const open = await counts([]);
	const shut = await counts([died, 'DISCHARGE//HOME']);
	const women = (set: Set<string>) => [...set].sort();
	t.notSame(women(distinct(open, true)), women(distinct(open, false)));
	t.same(women(distinct(shut, true)), women(distinct(shut, false)));

	// What an encoder sees.
	await prepareStore(await meds, join(folder, 'store'), { threads: 1, tokens: { kind: 'structured', minPatients: 2 } });
	await using store = await openTokenStore(join(folder, 'store'));
	const vocabulary = store.vocabulary as Vocabulary;
	const token = vocabulary.codeToken(died).id;
	const window = async (source: ReturnType<typeof hideCodes>, subject: bigint) => {
		const split = source.split('train');
		const timeline = await split.timeline((await split.indexOf(subject))!);
		return [...contextTokens(timeline, vocabulary, visibleAt(timeline, at('2020-01-04T23:50:00')), 64)];
	};
	t.ok((await window(store, 2n)).includes(token));
	const hiding = hideCodes(store, [died, 'DISCHARGE//HOME']);
	t.notOk((await window(hiding, 2n)).includes(token));
	t.equal((await window(store, 2n)).length - (await window(hiding, 2n)).length, 2, 'the code, and the gap before it');
	t.same(await window(hiding, 4n), await window(hiding, 9n), 'who dies and who does not look alike');
	t.notSame(await window(store, 4n), await window(store, 9n));

	// States that saw hidden codes are refused.
	const source = {
		run: '',
		step: '',
		context_tokens: '8',
		store: '',
		data: list.dataFingerprint,
		splits: list.splitting.fingerprint,
		index_dates: list.indexDatesFingerprint,
		index_dates_without_tokens: '0',
	};
	t.throws(() => requireProvenance('f', { ...source, hidden_codes: 'none' }, list, undefined), {
		code: 'EHR_JEPA_DATA',
		message: /the hidden codes of the tasks/,
	});
	requireProvenance('f', { ...source, hidden_codes: hiddenCodesFingerprint(list.hiddenCodes) }, list, undefined);
});

t.test('codes are hidden by name or beginning; text stores are refused', async (t) => {
	const { list } = await build('named', { hideCodes: { exact: ['VISIT'], prefix: ['DISCHARGE//'] } });
	t.same(list.hiddenCodes, ['DISCHARGE//DIED', 'DISCHARGE//HOME', 'VISIT']);
	const text = { vocabulary: { kind: 'text' } } as never;
	t.throws(() => hideCodes(text, ['VISIT']), { code: 'EHR_JEPA_CONFIG', message: /need a store of structured tokens/ });
	t.equal(hideCodes(text, []), text);
});

t.test('the prediction time is inclusive, to the microsecond', async (t) => {
	const dataset = await openMeds(await meds);
	const sums = async (time: bigint) => {
		const dates = [{ subjectId: 3n, predictionTime: time, split: 'train' as const }];
		const { values } = await countFeatures({ dataset, indexDates: dates, lifeCodes: new LifeCodes() });
		return values.subarray(0, -1).reduce((sum, value) => sum + value, 0);
	};
	const moment = at('2020-01-04T23:50:00');
	t.ok((await sums(moment)) > (await sums(moment - 1n)), 'an event at the prediction time is known');
	t.equal(await sums(moment), await sums(moment + 1n));
});

t.test('a target begins on the day after: what happens later that day is neither known nor asked for', async (t) => {
	const { list } = await build('day-after', { minHistoryDays: 4 });
	const labels = await readLabels(join(folder, 'day-after', list.tasks[0]!.directory));
	const eve = labels.filter(({ predictionTime }) => predictionTime === at('2020-01-04T23:50:00'));
	t.equal(eve.filter(({ value }) => value).length, 20, 'death on the next day is a target');
	const buffered = await build('one-day-buffer', { minHistoryDays: 4, bufferDays: 1 });
	t.equal(buffered.list.tasks[0]!.excluded.inBuffer, 20);
});

t.test('days before death are dropped, and with them every history that reaches into them', async (t) => {
	const { list, indexDates } = await build('week', { minHistoryDays: 1, dropDaysBeforeDeath: 2 });
	t.equal(list.indexRules[0]!.beforeDeath, 40, 'the two days before, of 20 who die');
	t.notOk(
		indexDates.some(({ subjectId, predictionTime }) => subjectId % 2n === 0n && predictionTime > at('2020-01-03')),
	);
});

t.test('who leaves before the horizon is unknown, not negative, and counted', async (t) => {
	const { list } = await build('censored', { tasks: [{ ...death, horizonsDays: [2, 30] }], minHistoryDays: 1 });
	const [short, long] = list.tasks;
	t.equal(long!.excluded.censored, 20 * 5, 'five index dates of each of 20 who are followed up to the 20th');
	t.equal(long!.samples, 20 * 4);
	t.equal(long!.positives, 20 * 4);
	t.equal(short!.excluded.censored, 0);
});

t.test('the floor: age and sex alone', async (t) => {
	const dataset = await openMeds(await meds);
	const dates = [4n, 5n, 6n].map((subjectId) => ({
		subjectId,
		predictionTime: at('2020-01-02T10:00:00'),
		split: 'train' as const,
	}));
	const { values, columns } = await demographicFeatures({ dataset, indexDates: dates, lifeCodes: new LifeCodes() });
	t.equal(columns, 3);
	const rows = dates.map((_, i) => [...values.subarray(i * 3, i * 3 + 3)].map(Math.round));
	t.same(rows, [
		[76, 1, 0],
		[80, 1, 0],
		[79, 0, 1],
	]);
});

t.test('counts of the window hold what the encoder saw and nothing before it', async (t) => {
	await using store = await openTokenStore(join(folder, 'store'));
	const split = store.split('train');
	const timeline = await split.timeline((await split.indexOf(3n))!);
	const time = at('2020-01-04T23:50:00');
	// Sex and age, then gap and code of each day: from the back, a day costs two tokens.
	const start = (budget: number) => contextStart(timeline, time, budget);
	t.equal(start(64), at('2020-01-01T00:00:00'));
	t.equal(start(6), at('2020-01-03T00:00:00'));
	t.equal(start(4), at('2020-01-04T23:50:00'), 'of a day that is cut, the oldest moment that is kept');
	const dataset = await openMeds(await meds);
	const dates = [{ subjectId: 3n, predictionTime: time, split: 'train' as const }];
	const visits = async (since: bigint) => {
		const input = { dataset, indexDates: dates, lifeCodes: new LifeCodes(), since: [since] };
		const { values } = await countFeatures(input);
		return [...values.subarray(0, -1)].map((value) => Math.round(Math.expm1(value))).reduce((sum, n) => sum + n, 0);
	};
	const [all, half] = [await visits(at('2020-01-01T00:00:00')), await visits(start(6)!)];
	t.equal(all - half, 4, 'two visits less, in the whole window and in its last 180 days');
});
