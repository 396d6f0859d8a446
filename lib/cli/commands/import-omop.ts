import type { Argv } from 'yargs';
import { importOmop } from '../../data/omop/import.js';
import { labelOf } from '../../data/omop/loss.js';
import type { OmopImportReport } from '../../data/omop/report.js';
import { withContext } from '../context.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('cdm', {
			type: 'string',
			demandOption: true,
			describe: 'Folder with person.csv, person.csv.gz, person.parquet or person/, and the other tables beside it',
		})
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for the MEDS data set' })
		.option('vocabulary', { type: 'string', describe: 'Folder with CONCEPT, where it is not among the tables' })
		.option('missing-concept', {
			choices: ['refuse', 'concept-id'] as const,
			default: 'refuse' as const,
			describe: 'Without CONCEPT: refuse, or make codes of concept ids',
		})
		.option('unmapped', {
			choices: ['source-value', 'drop'] as const,
			default: 'source-value' as const,
			describe: 'Rows without a known concept: a code of the source value, or dropped and counted',
		})
		.option('midnight', {
			choices: ['as-given', 'end-of-day'] as const,
			default: 'as-given' as const,
			describe: 'Datetimes at 00:00:00: as they are, or the last second of the day as for dates',
		})
		.option('notes', { type: 'boolean', default: false, describe: 'Import NOTE with its text' })
		.option('encoding', {
			choices: ['utf-8', 'latin-1'] as const,
			default: 'utf-8' as const,
			describe: 'Of the CSV files',
		})
		.option('max-dropped', { type: 'number', default: 0.2, describe: 'Largest share of rows that may be lost' })
		.option('max-unknown-concepts', {
			type: 'number',
			default: 0.2,
			describe: 'Largest share of rows whose concept may be missing in CONCEPT',
		})
		.option('seed', { type: 'number', default: 1, describe: 'Draws the splits' })
		.option('memory-limit', {
			type: 'string',
			default: '2GB',
			describe: 'What DuckDB may hold before it spills to disk',
		})
		.example(
			'$0 import-omop cdm meds',
			'MEDS 0.4 in meds/, what became of every table in meds/metadata/omop-import.json',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { cdm, out, vocabulary, missingConcept, unmapped, midnight, notes, encoding } = args;
		const { maxDropped, maxUnknownConcepts, seed, memoryLimit } = args;
		const options = {
			missingConcept,
			unmapped,
			midnight,
			notes,
			encoding,
			maxDropped,
			maxUnknownConcepts,
			seed,
			memoryLimit,
		};
		const report = await importOmop(
			cdm,
			out,
			{ ...options, ...(vocabulary === undefined ? {} : { vocabulary }) },
			context.operation(),
		);
		context.result(importText(out, report), report);
	});
}

/** How the CSV files are written: a line for each form. */
function csvText(csv: OmopImportReport['csv']): string[] {
	const tables = new Map<string, string[]>();
	for (const [table, forms] of Object.entries(csv))
		for (const form of forms) tables.set(form, [...(tables.get(form) ?? []), table]);
	return [...tables].map(([form, names]) => `read as CSV with ${form}: ${names.join(', ')}`);
}

const number = (value: number) => value.toLocaleString('en-US');

/** The report for people: a line of totals, a line per table, what was skipped. */
function importText(out: string, report: OmopImportReport): string {
	const { cdm, splits, tables } = report;
	const width = Math.max(...tables.map((table) => labelOf(table).length));
	const counts = (entries: Readonly<Record<string, number>>) =>
		Object.entries(entries).map(([name, n]) => `${number(n)} ${name}`);
	return [
		`${out}: OMOP CDM ${cdm.version ?? 'of unknown version'}${cdm.name === null ? '' : ` "${cdm.name}"`}, ${number(report.persons)} persons (${splits.train} train, ${splits.tuning} tuning, ${splits.held_out} held out), ${number(report.events)} events, ${number(report.codes)} codes (${number(report.codesWithoutDescription)} without description) in ${report.files} files`,
		...tables.map((table) => {
			const parts = [
				`${labelOf(table).padEnd(width)}  ${number(table.rowsIn)} rows, ${number(table.rowsOut)} events`,
				...(Object.keys(table.dropped).length === 0 ? [] : [`dropped: ${counts(table.dropped).join(', ')}`]),
				...(Object.keys(table.codes).length === 0 ? [] : [`codes: ${counts(table.codes).join(', ')}`]),
				...(Object.keys(table.remarks).length === 0 ? [] : [`kept: ${counts(table.remarks).join(', ')}`]),
				...(table.unknownConcepts === 0 ? [] : [`${number(table.unknownConcepts)} with a concept not in CONCEPT`]),
			];
			return parts.join('; ');
		}),
		...report.skipped.map(
			({ table, rows, reason }) =>
				`skipped  ${table}: ${rows === null ? 'rows not counted: the file cannot be read' : `${number(rows)} rows`}, ${reason}`,
		),
		...csvText(report.csv),
		...(report.absent.length === 0 ? [] : [`absent: ${report.absent.join(', ')}`]),
	].join('\n');
}
