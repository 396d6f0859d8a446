import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { writeReport } from '../../../lib/report/report.js';
import { openBrowser } from '../../fixtures/browser.js';
import {
	axeProblems,
	closedOnPaper,
	coveredTexts,
	faintMarks,
	faintTexts,
	foldProblems,
	keyboardProblems,
	overflowing,
	unnamedDrawings,
	watched,
} from '../../fixtures/page-check.js';
import { generateReportInput } from '../../fixtures/report-input.js';

/** Widths of a phone and of a desktop window, and of A4 without its margins, in CSS pixels. */
const [phone, desktop, paper] = [390, 1280, 680];

// Another machine's first start of a browser takes a while.
t.setTimeout(180_000);
const browser = await openBrowser();
const skip = typeof browser === 'string' ? browser : false;
const openPage = (width: number, height: number) => {
	if (typeof browser === 'string') throw new Error(browser);
	return browser.newPage({ viewport: { width, height } });
};
if (typeof browser !== 'string') t.teardown(() => browser.close());

t.test('the report in a real browser', { skip }, async (t) => {
	const directory = t.testdir();
	const { input } = await generateReportInput({
		directory,
		steps: 12,
		instruments: true,
		strata: true,
		trainingSizes: true,
		trajectories: true,
	});
	const out = join(directory, 'report.html');
	await writeReport(out, input);
	const address = pathToFileURL(out).href;
	for (const width of [phone, desktop]) {
		const page = await openPage(width, 800);
		const noticed = watched(page, address);
		await page.goto(address);
		t.same(await overflowing(page), [], `nothing sticks out at ${width} pixels`);
		t.same(await keyboardProblems(page), [], `every control is met with Tab at ${width} pixels`);
		t.same(await foldProblems(page), [], `folds open and close by keys at ${width} pixels`);
		await page.evaluate(`document.querySelectorAll('details').forEach((fold) => { fold.open = true; })`);
		t.same(await overflowing(page), [], `nothing sticks out with all folds open at ${width} pixels`);
		for (const colorScheme of ['light', 'dark'] as const) {
			await page.emulateMedia({ colorScheme });
			t.same(await faintTexts(page), [], `every text can be read, ${colorScheme}, ${width} pixels`);
			t.same(await faintMarks(page), [], `every line and mark can be seen, ${colorScheme}, ${width} pixels`);
		}
		t.same(await coveredTexts(page), [], `nothing lies on the texts of drawings at ${width} pixels`);
		t.same(await axeProblems(page), [], `rules of accessibility at ${width} pixels`);
		t.same(await unnamedDrawings(page), [], 'drawings have names and descriptions, headings are in order');
		t.same(noticed, [], 'no request, no complaint');
		await page.close();
	}
	const page = await openPage(paper, 960);
	await page.goto(address);
	await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
	t.same(await closedOnPaper(page), [], 'paper opens every fold');
	t.same(await overflowing(page), [], 'nothing is cut off on paper');
	t.same(await coveredTexts(page), [], 'nothing lies on the texts of drawings on paper');
	t.same(await faintTexts(page), [], 'paper is light');
	const pages = async () => (await page.pdf({ format: 'A4' })).toString('latin1').split(/\/Type \/Page\b/).length - 1;
	const closed = await pages();
	t.ok(closed > 4, `${closed} pages`);
	await page.evaluate(`document.querySelectorAll('details').forEach((fold) => { fold.open = true; })`);
	t.same(await overflowing(page), [], 'nor of long folds that the reader has opened');
	const open = await pages();
	t.ok(open > closed, `${open} pages with every fold open`);
	await page.close();
});

t.test('the checks find what is wrong', { skip }, async (t) => {
	const page = await openPage(390, 800);
	const noticed = watched(page, 'about:');
	await page.setContent(`<!doctype html><html><body style="background:#fff"><h1>One</h1><h3>Three</h3>
			<p style="color:#999">faint</p><p>a</p><p>b</p><p>c</p><p>d</p><svg viewBox="0 0 9 9"><text style="fill:#aaa">x</text></svg><div style="width:600px">wide</div>
			<a href="#x">late</a><button style="outline:none" tabindex="2">first</button><img src="http://127.0.0.1:9/x.png">
			<svg viewBox="0 0 90 20" role="img" aria-labelledby="n" aria-describedby="n"><title id="n">covered</title><text x="10" y="12" style="fill:#000">word</text><circle class="mark" cx="15" cy="9" r="4" style="fill:#ddd"></circle></svg>
			<details><summary>fold</summary><p>in it</p></details><script>console.error('oh')</script></body></html>`);
	t.match(await overflowing(page), [/DIV/]);
	t.equal((await faintTexts(page)).length, 2);
	t.equal((await unnamedDrawings(page)).length, 2);
	t.match(await coveredTexts(page), [/covered: "word" under mark/]);
	t.match(await faintMarks(page), [/^mark 1\./]);
	t.match((await axeProblems(page)).join(), /image-alt.*/);
	t.match((await keyboardProblems(page)).join(), /comes to control 1/);
	t.same(await foldProblems(page), []);
	await page.emulateMedia({ media: 'print' });
	t.match(await closedOnPaper(page), [/closed on paper: fold/]);
	t.match(noticed.join(), /console: oh.*request of http:\/\/127.0.0.1:9/s);
	await page.close();
});
