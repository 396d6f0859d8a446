import { type Html, html, nothing } from '../html.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { type Row, table } from '../table.js';

/** Options of the runs with nested keys flattened; what differs between the runs, and the seeds, come first. */
export function configurationSection({ runs, evaluation }: ReportData): Section {
	const body = html`<p>Evaluation of ${evaluation.createdAt}, seed ${evaluation.seed}. Data set fingerprint <code>${evaluation.dataset.fingerprint}</code>.</p>
${optionTables(runs)}
${
	evaluation.models.length === 0
		? nothing
		: table(
				'Models of the evaluation',
				[{ title: 'Model' }, { title: 'Kind' }, { title: 'What it is' }, { title: 'Run folder' }],
				evaluation.models.map(({ label, kind, description, run }) => ({
					cells: [
						label,
						kind,
						html`<span class="text">${description}</span>`,
						run === undefined ? '–' : html`<code>${run}</code>`,
					],
				})),
			)
}`;
	return { id: 'configuration', title: 'Configuration and seeds', body };
}

/** Seeds and what differs between runs, then every option in a fold. */
export function optionTables(runs: ReportData['runs']): Html {
	const options = runs.map(({ config }) => new Map(flattened(config)));
	// The run with the most options gives the order, so that options of one group stay together.
	const keys = [...new Set(options.toSorted((a, b) => b.size - a.size).flatMap((map) => [...map.keys()]))];
	const differs = (key: string) => new Set(options.map((map) => map.get(key))).size > 1;
	const isSeed = (key: string) => /(^|\.)seed$/i.test(key);
	const rowsOf = (wanted: readonly string[]) =>
		wanted.map(
			(key): Row => ({
				cells: [html`<code>${key}</code>`, ...options.map((map) => html`<code>${map.get(key) ?? '–'}</code>`)],
			}),
		);
	const columns = [{ title: 'Option' }, ...runs.map(({ label }) => ({ title: label }))];
	const short = keys.filter((key) => isSeed(key) || differs(key));
	return html`${short.length === 0 ? nothing : table(runs.length > 1 ? 'Seeds, and options in which the runs differ' : 'Seeds', columns, rowsOf(short))}
${keys.length === 0 ? nothing : details('Every option of every run', table('All options, with defaults filled in', columns, rowsOf(keys)))}`;
}

/** Nested options as dotted keys; a list of plain values stays one value. */
function flattened(value: unknown, prefix = ''): [key: string, value: string][] {
	const nested = (entries: readonly (readonly [string, unknown])[]) =>
		entries.flatMap(([key, inner]) => flattened(inner, prefix === '' ? key : `${prefix}.${key}`));
	if (Array.isArray(value) && value.some((item) => item !== null && typeof item === 'object')) {
		return nested(value.map((item, i) => [String(i), item] as const));
	}
	if (value !== null && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length > 0) {
		return nested(Object.entries(value));
	}
	return [[prefix, typeof value === 'string' ? value : JSON.stringify(value)]];
}
