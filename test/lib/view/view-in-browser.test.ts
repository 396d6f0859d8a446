import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { viewRuns } from '../../../lib/index.js';
import { openBrowser } from '../../fixtures/browser.js';
import {
	axeProblems,
	faintTexts,
	foldProblems,
	keyboardProblems,
	overflowing,
	unnamedDrawings,
	until,
	watched,
} from '../../fixtures/page-check.js';
import { generateReportInput } from '../../fixtures/report-input.js';

t.setTimeout(180_000);
const browser = await openBrowser();
const skip = typeof browser === 'string' ? browser : false;
if (typeof browser !== 'string') t.teardown(() => browser.close());

t.test('the live view in a real browser', { skip }, async (t) => {
	if (typeof browser === 'string') return;
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 8, instruments: true });
	// Slow enough that nothing changes but what the test changes.
	await using view = await viewRuns(directory, { interval: 100 });
	for (const width of [390, 1280]) {
		const page = await browser.newPage({ viewport: { width, height: 800 } });
		const noticed = watched(page, view.address);
		await page.goto(view.address);
		await until(page, `document.getElementById('connection').textContent === 'Live.'`);
		t.same(await overflowing(page), [], `nothing sticks out at ${width} pixels`);
		t.same(await keyboardProblems(page), [], `every control is met with Tab at ${width} pixels`);
		t.same(await foldProblems(page), [], `folds open and close by keys at ${width} pixels`);
		for (const colorScheme of ['light', 'dark'] as const) {
			await page.emulateMedia({ colorScheme });
			t.same(await faintTexts(page), [], `every text can be read, ${colorScheme}, ${width} pixels`);
		}
		t.same(await axeProblems(page), [], `rules of accessibility at ${width} pixels`);
		t.same(await unnamedDrawings(page), []);
		t.same(noticed, [], 'nothing but its own address is asked, and nothing complained of');
		await page.close();
	}
});

t.test('the page follows a run without losing its place, can be paused, and sees the end', { skip }, async (t) => {
	if (typeof browser === 'string') return;
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 8 });
	const view = await viewRuns(directory, { interval: 50 });
	const page = await browser.newPage({ viewport: { width: 390, height: 800 } });
	await page.goto(view.address);
	const file = join(directory, 'sft', 'metrics.jsonl');
	const last = readFileSync(file, 'utf8')
		.split('\n')
		.findLast((line) => line.includes('"train"'))!;
	const append = (step: number) => appendFileSync(file, `${JSON.stringify({ ...JSON.parse(last), step })}\n`);
	const shows = (text: string) => until(page, `document.getElementById('runs').textContent.includes('${text}')`);
	const fold = page.locator('#options summary');
	await fold.press('Enter');
	await page.evaluate(`document.querySelector('#runs .scroll').scrollLeft = 50`);
	await page.locator('#runs a').first().focus();
	append(9);
	await shows('9 of 8');
	t.equal(await page.evaluate(`document.activeElement.textContent`), 'sft', 'the focus stays');
	t.equal(await page.evaluate(`document.querySelector('#runs .scroll').scrollLeft`), 50, 'a table stays scrolled');
	t.equal(await page.evaluate(`document.querySelector('#options details').open`), true, 'a fold stays open');
	await page.locator('#pause').press('Space');
	append(10);
	await until(page, `document.getElementById('connection').textContent.includes('something new')`);
	t.notMatch(await page.locator('#runs').textContent(), '10 of 8', 'paused');
	await page.locator('#pause').press('Enter');
	await shows('10 of 8');
	await page.locator('#runs a').first().press('Enter');
	await page.waitForURL(/\?run=sft$/);
	// A loaded page may not have asked for events yet; what is closed then it can only call lost.
	await until(page, `document.getElementById('connection').textContent === 'Live.'`);
	await view.close();
	await until(page, `document.getElementById('connection').textContent.startsWith('The view was ended')`);
	await page.close();
});
