import type { StoreSummary } from '../../store/manifest.js';
import { splits } from '../../types.js';
import { type Html, html, nothing } from '../html.js';
import { formatCount, formatPercent } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, type Row, table } from '../table.js';

/** What is in the token store: lengths, codes and values; undefined when the evaluation names none. */
export function dataSection({ evaluation: { data } }: ReportData): Section | undefined {
	if (data === undefined) return undefined;
	const body = html`<p>${introduction(data)}</p>
${lengths(data)}
${coverage(data)}
${prefixes(data)}
${details(
	`The ${data.topCodes.length} most frequent codes`,
	table(
		'Most frequent codes',
		[{ title: 'Code' }, { title: 'Events', numeric: true }],
		data.topCodes.map(({ code, events }) => ({ cells: [html`<code>${code}</code>`, count(events)] })),
	),
)}
${
	data.notes.length === 0
		? nothing
		: html`<p class="note">What was noticed while reading:</p><ul class="prose">${data.notes.map((note) => html`<li>${note}</li>`)}</ul>`
}`;
	return { id: 'data', title: 'What the tokens are made of', body };
}

function introduction({ vocabulary: { kind, size } }: StoreSummary): string {
	return kind === 'structured'
		? `Structured tokens: a code each, with a bin of its value, gaps and ages; ${formatCount(size)} in the vocabulary.`
		: `Text tokens of a Qwen tokenizer; ${formatCount(size)} rows in the embedding.`;
}

const percentiles = [
	['p0', 'Least'],
	['p25', '25 %'],
	['p50', 'Median'],
	['p75', '75 %'],
	['p90', '90 %'],
	['p99', '99 %'],
	['p100', 'Most'],
] as const;

function lengths(data: StoreSummary): Html {
	const columns = ['Patients', 'Events', 'Days', 'Tokens', ...percentiles.map(([, title]) => title)];
	return table(
		'Splits, and tokens per patient by percentile',
		[{ title: 'Split' }, ...columns.map((title) => ({ title, numeric: true }))],
		splits.map((name): Row => {
			const { patients, events, days, tokens, lengthPercentiles } = data.splits[name];
			const each = percentiles.map(([key]) => (patients === 0 ? '–' : count(lengthPercentiles[key])));
			return { cells: [name, count(patients), count(events), count(days), count(tokens), ...each] };
		}),
	);
}

function coverage({ coverage }: StoreSummary): Html {
	const rows: [string, number][] =
		coverage.kind === 'structured'
			? [
					['events', coverage.events],
					['code known', coverage.known],
					['code as part of a group', coverage.backed_off],
					['code unknown', coverage.unknown],
					['births, which give the age tokens', coverage.births],
					['value binned', coverage.valuesBinned],
					['value without a bin', coverage.valuesWithoutBin],
					['value in another unit', coverage.valuesInOtherUnit],
					['value that is text, not read', coverage.textOnly],
				]
			: [
					['events', coverage.events],
					['written', coverage.written],
					...named('left out: ', coverage.dropped),
					...named('category ', coverage.categories),
					['category from the table of the row', coverage.fromTable],
					['category from the code', coverage.fromCode],
					['lines with values in several units', coverage.mixedUnits],
					...named('without a category, code ', coverage.unmappedCodes),
					...named('without a category, table ', coverage.unmappedTables),
				];
	return table(
		'What became of the events',
		[{ title: 'What' }, { title: 'Events', numeric: true }, { title: 'Share', numeric: true }],
		rows.map(([what, events]) => ({
			cells: [what, count(events), coverage.events === 0 ? '–' : formatPercent(events / coverage.events, 1)],
		})),
	);
}

function named(prefix: string, counts: Readonly<Record<string, number>>): [string, number][] {
	return Object.entries(counts)
		.filter(([, events]) => events > 0)
		.map(([name, events]) => [`${prefix}${name}`, events]);
}

function prefixes({ prefixes: rows }: StoreSummary): Html {
	const share = (part: number | undefined, whole: number | undefined) =>
		part === undefined || whole === undefined || whole === 0 ? '–' : formatPercent(part / whole, 1);
	const columns = ['Codes', 'Events', 'Known', 'As a group', 'Unknown', 'Values', 'Values binned'];
	return details(
		`Events by the first part of their code (${rows.length})`,
		table(
			'Events by the first part of their code',
			[{ title: 'First part' }, ...columns.map((title) => ({ title, numeric: true }))],
			rows.map(({ prefix, codes, events, known, backed_off, unknown, values, binned }) => ({
				cells: [
					html`<code>${prefix}</code>`,
					count(codes),
					count(events),
					share(known, events),
					share(backed_off, events),
					share(unknown, events),
					values === undefined ? '–' : count(values),
					share(binned, values),
				],
			})),
		),
	);
}
