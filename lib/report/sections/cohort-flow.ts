import { html } from '../html.js';
import type { ReportData } from '../report-data.js';
import type { Section } from '../section.js';
import { count, table } from '../table.js';

/** What went into each stage and what was left out. */
export function cohortFlowSection({ evaluation: { cohortFlow, indexDates } }: ReportData): Section {
	const optional = (value: number | undefined) => (value === undefined ? '' : count(value));
	const body = html`<p>Index dates: ${indexDates.rule} (${count(indexDates.train)} in training, ${count(indexDates.tuning)} in tuning and ${count(indexDates.held_out)} in held-out patients).</p>
${
	cohortFlow.length === 0
		? html`<p>The evaluation holds no cohort flow.</p>`
		: table(
				'What each stage holds, and what was left out and why',
				[
					{ title: 'Stage' },
					{ title: 'Patients', numeric: true },
					{ title: 'Events', numeric: true },
					{ title: 'Tokens', numeric: true },
					{ title: 'Note' },
				],
				cohortFlow.map(({ stage, patients, events, tokens, note }) => ({
					cells: [
						stage,
						count(patients),
						optional(events),
						optional(tokens),
						html`<span class="text">${note ?? ''}</span>`,
					],
				})),
			)
}`;
	return { id: 'cohort-flow', title: 'Cohort flow', body };
}
