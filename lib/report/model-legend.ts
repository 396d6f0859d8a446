import type { Html } from './html.js';
import { legend } from './marks.js';
import type { ReportData } from './report-data.js';

/** Marks of the models that some rows are of. */
export function modelLegend(data: ReportData, rows: readonly { readonly model: string }[]): Html {
	const found = new Set(rows.map(({ model }) => model));
	return legend(
		data.evaluation.models
			.filter(({ name }) => found.has(name))
			.map(({ name, label }) => ({ label, style: data.styleOf(name), kind: 'mark' as const })),
	);
}
