import { html } from '../html.js';
import { formatCount, formatPercent } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import type { Section } from '../section.js';

/** Positives below which an AUROC says little: its interval spans most of the scale. */
const fewPositives = 30;

/** What the figures mean and what they cannot show. */
export function readingSection({ evaluation: { bootstrap, dataset, probes } }: ReportData): Section {
	const readings = [...new Map(probes.map((row) => [JSON.stringify([row.task, row.horizonDays]), row])).values()];
	const few = readings.filter(({ nPositives }) => nPositives < fewPositives).length;
	const level = formatPercent(bootstrap.level);
	const chance = formatPercent(1 - bootstrap.level);
	const body = html`<ul class="prose">
<li><strong>Intervals.</strong> ${level} percentile intervals over ${formatCount(bootstrap.draws)} resamples of patients; all index dates of a patient stay together. They hold the luck of which patients were held out. They do not hold the luck of a training seed: a statement about the method needs several seeds.</li>
<li><strong>Many comparisons.</strong> Of intervals around a true difference of 0, about ${chance} exclude 0 by chance. A single one among many is a hint, not a finding.</li>
<li><strong>No difference shown</strong> means that these patients cannot tell the models apart. It does not mean that the models are equal.</li>
<li><strong>Not defined</strong> means that the number does not exist, for instance AUROC when all patients have the same outcome. It is never replaced by a guess.</li>
${
	few === 0
		? ''
		: html`<li><strong>Small numbers.</strong> ${few} of ${readings.length} tasks and horizons have fewer than ${fewPositives} positive samples among the held-out patients. Their intervals are wide and percentile intervals are too narrow there; read them as a check that the pipeline works.</li>
`
}<li><strong>Linear probes.</strong> A probe reads what is linearly accessible in a frozen state. It is no clinical model; it was not calibrated, and not compared with clinical scores.</li>
${
	dataset.simulated
		? html`<li><strong>Simulated patients.</strong> The cohort follows equations with chosen, not fitted, constants. It shows whether a method can recover dynamics that are known to be there. It cannot show that the method works on people.</li>`
		: html`<li><strong>Real records.</strong> Codes record what was documented and billed, not what happened. The true state of a patient is not known, so it cannot be compared with the latent one; the simulated cohort exists for that.</li>`
}
<li><strong>Method.</strong> A re-implementation of SMB-Structure (arXiv 2601.22128) from its abstract, the released inference code and secondary notes. It is not an exact reproduction, and its numbers cannot be set beside those of the paper.</li>
</ul>`;
	return { id: 'reading', title: 'How to read this, and its limits', body };
}
