import { writeWhole } from '../data/whole-file.js';
import { packageVersion } from '../package-version.js';
import { Html, html } from './html.js';
import { type ReportInput, readReportData } from './report-data.js';
import { latentStateSection } from './sections/latent-state.js';
import { differencesSection, probesSection } from './sections/probes.js';
import { cohortFlowSection, configurationSection, readingSection } from './sections/provenance.js';
import { summarySection } from './sections/summary.js';
import { collapseSection, costSection, lossesSection } from './sections/training.js';
import { style } from './style.js';

/**
 * Writes one self-contained HTML file from run folders and evaluation.json: no script, no external resource.
 *
 * @throws {DataError} {ConfigError} {OutputError}
 */
export async function writeReport(out: string, input: ReportInput): Promise<void> {
	const data = await readReportData(input);
	const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${data.title}</title><style>${new Html(style)}</style></head>
<body><main>
<h1>${data.title}</h1>
<p class="muted">${data.evaluation.createdAt.slice(0, 10)}, ehr-jepa ${packageVersion}${data.evaluation.dataset.simulated ? ', simulated patients' : ''}</p>
${summarySection(data)}
${probesSection(data)}
${differencesSection(data)}
${latentStateSection(data)}
${lossesSection(data)}
${collapseSection(data)}
${cohortFlowSection(data)}
${costSection(data)}
${configurationSection(data)}
${readingSection(data)}
<footer>Every number of this page is in evaluation.json and the run folders beside it.</footer>
</main></body></html>
`;
	await writeWhole(out, page.text);
}
