import { setImmediate } from 'node:timers/promises';
import { requirePath } from '../files/path.js';
import { writeWhole } from '../files/whole.js';
import { packageVersion } from '../package-version.js';
import { Html, html } from './html.js';
import { type ReportData, type ReportInput, readReportData } from './report-data.js';
import type { Section } from './section.js';
import { calibrationSection } from './sections/calibration.js';
import { classesSection } from './sections/classes.js';
import { cohortFlowSection } from './sections/cohort-flow.js';
import { collapseSection } from './sections/collapse.js';
import { configurationSection } from './sections/configuration.js';
import { dataSection } from './sections/data.js';
import { differencesSection } from './sections/differences.js';
import { instrumentsSection } from './sections/instruments.js';
import { latentStateSection } from './sections/latent-state.js';
import { lossesSection } from './sections/losses.js';
import { probesSection } from './sections/probes.js';
import { readingSection } from './sections/reading.js';
import { rolloutSection } from './sections/rollout.js';
import { scalingSection } from './sections/scaling.js';
import { stateMapSection } from './sections/state-map.js';
import { ageSection, anchorSection, subgroupsSection } from './sections/strata.js';
import { summary } from './sections/summary.js';
import { timeToEventSection } from './sections/time-to-event.js';
import { trainingFiguresSection } from './sections/training-figures.js';
import { trainingSizesSection } from './sections/training-sizes.js';
import { trajectoriesSection } from './sections/trajectories.js';
import { stylesheet } from './style.js';

export type { ReportInput } from './report-data.js';

const sections: readonly ((data: ReportData) => Section | undefined)[] = [
	probesSection,
	differencesSection,
	timeToEventSection,
	classesSection,
	trainingSizesSection,
	anchorSection,
	ageSection,
	trajectoriesSection,
	stateMapSection,
	calibrationSection,
	subgroupsSection,
	latentStateSection,
	rolloutSection,
	scalingSection,
	lossesSection,
	instrumentsSection,
	collapseSection,
	cohortFlowSection,
	dataSection,
	trainingFiguresSection,
	configurationSection,
	readingSection,
];

/**
 * Writes one self-contained HTML file from run folders and evaluation.json: no script, no external resource, readable on
 * paper, on a phone and in the dark. A report of that name is replaced, in one step.
 *
 * @throws {DataError} Malformed input, naming file and rule.
 * @throws {OutputError} Nothing is left that looks like a report.
 */
export async function writeReport(out: string, input: ReportInput): Promise<void> {
	requirePath('report', 'out', out);
	requirePath('report', 'evaluation', input.evaluation);
	for (const file of input.earlier ?? []) requirePath('report', 'earlier', file);
	if (input.trajectories !== undefined) requirePath('report', 'trajectories', input.trajectories);
	for (const { name, directory } of input.runs ?? []) requirePath('report', `run ${name}`, directory);
	await writeWhole(out, (await page(await readReportData(input))).text);
}

async function page(data: ReportData): Promise<Html> {
	const shown: Section[] = [];
	for (const section of sections) {
		const made = section(data);
		if (made !== undefined) shown.push(made);
		// Long runs take a while to draw; other work gets its turn between two sections.
		await setImmediate();
	}
	const { createdAt, dataset } = data.evaluation;
	// The policy makes the promise of the doc comment one that the browser keeps.
	return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${data.title}</title>
<style>${new Html(stylesheet)}</style>
</head>
<body>
<main>
<header><p class="eyebrow">${dataset.simulated ? 'Simulated patients' : 'Patient records'} · ${createdAt.slice(0, 10)} · ehr-jepa ${packageVersion}</p>
<h1>${data.title}</h1></header>
${summary(data)}
<nav aria-label="Contents"><ol>${shown.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol></nav>
${shown.map(
	({ id, title, body }) => html`<section id="${id}"><h2>${title}</h2>
${body}</section>
`,
)}
<footer>Every number on this page comes from evaluation.json and the run folders; numbers in tables carry their full precision in the page source.</footer>
</main>
</body>
</html>
`;
}
