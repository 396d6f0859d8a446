/**
 * Promise: what stands in and under a chart can be read. Years and names of rules ran into each other where there were five or more, and
 * so did crosses of many models that have no number.
 */
import t from 'tap';
import { intervalChart } from '../../lib/report/interval-chart.js';
import { labelLines } from '../../lib/report/label-lines.js';

t.test('labels are broken to the width of their slot', async (t) => {
	t.same(labelLines('2010 to 2011', 8), ['2010 to', '2011']);
	t.same(labelLines('new-diagnosis', 10), ['new-', 'diagnosis']);
	t.same(labelLines('30 d', 10), ['30 d']);
	t.same(labelLines('in-hospital', 20), ['in-hospital']);
	t.same(labelLines('discharge', 6), ['disch…']);
	t.same(labelLines('-', 6), ['-']);
	t.same(labelLines('', 6), ['']);
});

t.test('a chart grows by the lines that its labels need, and each keeps its whole name', async (t) => {
	const chart = (categories: readonly string[]) =>
		String(
			intervalChart({
				...{ id: 'a', title: 'By rule', valueName: 'AUROC', categoryName: 'rule', range: [0, 1] },
				reference: { value: 0.5, label: 'chance' },
				points: categories.map((category) => ({
					...{ category, name: 'sft', style: 0 },
					estimate: { value: 0.7, low: 0.6, high: 0.8 },
				})),
			}),
		);
	const heightOf = (drawing: string) => Number(/viewBox="0 0 420 (\d+)"/.exec(drawing)?.[1]);
	const years = ['2010 to 2011', '2012 to 2013', '2014 to 2015', '2016 to 2017', '2018 to 2019', '2020 to 2021'];
	t.equal(heightOf(chart(['30 d', '180 d'])), 258);
	t.equal(heightOf(chart(years)), 273);
	for (const year of years) t.ok(chart(years).includes(`<title>${year}</title>`));
});

t.test('crosses do not touch; where no model has a number there is one', async (t) => {
	const models = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
	const sizes = ['1', '4', '12', '24', '48', '128'];
	const none = { value: null, low: null, high: null, undefinedReason: 'too few' };
	const drawing = String(
		intervalChart({
			...{ id: 'a', title: 'By size', valueName: 'AUROC', categoryName: 'size', range: [0, 1] },
			reference: { value: 0.5, label: 'chance' },
			points: sizes.flatMap((category) =>
				models.map((name, style) => {
					const isDefined = category !== '128' && name === 'a';
					return { category, name, style, estimate: isDefined ? { value: 0.7, low: 0.6, high: 0.8 } : none };
				}),
			),
		}),
	);
	const crosses = [...drawing.matchAll(/<text class="missing[^"]*" x="([\d.]+)"([^>]*)>×<title>([^<]*)/g)];
	t.equal(crosses.length, 5 * 6 + 1);
	const sizeOf = (attributes: string) => Number(/font-size:([\d.]+)px/.exec(attributes)?.[1]);
	for (const [i, [, x, attributes]] of crosses.slice(0, 6).entries()) {
		// A cross is 0.84 of its size wide in the widest usual fonts.
		if (i > 0) t.ok(Number(x) - Number(crosses[i - 1]![1]) >= 0.84 * sizeOf(attributes!));
	}
	t.match(crosses.at(-1)![3], /^a, 128: not defined \(too few\); b, 128: .*g, 128: not defined \(too few\)$/);
	t.match(drawing, 'not defined (37 of 42)', 'all are counted');
});
