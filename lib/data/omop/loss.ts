import { DataError } from '../../errors.js';
import { lostShare, type OmopTableCounts } from './report.js';

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** `measurement`, `visit_occurrence discharge`. */
export function labelOf({ table, part }: { readonly table: string; readonly part?: string }): string {
	return part === undefined ? table : `${table} ${part}`;
}

function reasonsOf({ dropped }: OmopTableCounts): string {
	return Object.entries(dropped)
		.filter(([reason]) => reason !== 'not-recorded')
		.map(([reason, n]) => `${n} ${reason}`)
		.join(', ');
}

/**
 * Refuses an import that would lose more rows than is allowed, or every row of a table unless all may be lost: a table
 * that is small beside the others is lost whole without a word otherwise.
 *
 * @throws {DataError} Names the tables that lose most, and why.
 */
export function refuseLoss(counts: readonly OmopTableCounts[], maxDropped: number): void {
	const whole = [...new Set(counts.map(({ table }) => table))]
		.map((table) => counts.filter((part) => part.table === table))
		.filter((parts) => parts.every(({ rowsOut }) => rowsOut === 0) && parts.some((part) => lostShare(part) > 0));
	if (whole.length > 0 && maxDropped < 1) {
		const lost = whole.flat().filter((part) => lostShare(part) > 0);
		throw new DataError('omop', {
			file: whole.map(([part]) => part!.table).join(', '),
			rule: 'must not lose all of its rows',
			value: lost.map((part) => `${labelOf(part)}: ${reasonsOf(part)}`).join('; '),
			fix: 'mend the table, or take it out of the folder, or allow any loss (maxDropped 1, --max-dropped 1)',
		});
	}
	const rows = counts.reduce((sum, { rowsIn }) => sum + rowsIn, 0);
	const lost = counts.reduce((sum, table) => sum + lostShare(table) * table.rowsIn, 0);
	if (rows === 0 || lost / rows <= maxDropped) return;
	const worst = [...counts]
		.sort((a, b) => lostShare(b) * b.rowsIn - lostShare(a) * a.rowsIn)
		.slice(0, 3)
		.filter((table) => lostShare(table) > 0)
		.map((table) => `${labelOf(table)}: ${reasonsOf(table)}`);
	throw new DataError('omop', {
		file: 'CDM',
		rule: `must not lose more than ${percent(maxDropped)} of its rows (maxDropped, --max-dropped)`,
		value: `${percent(lost / rows)} lost (${worst.join('; ')})`,
		fix: 'mend the tables, or allow the loss',
	});
}

/**
 * Refuses an import in which too many concepts are not in CONCEPT: a vocabulary that was cut short or misread.
 *
 * @throws {DataError} Names the tables with most of them.
 */
export function refuseUnknownConcepts(counts: readonly OmopTableCounts[], maxUnknown: number): void {
	const lost = ({ unknownConcepts, remarks }: OmopTableCounts) => unknownConcepts + (remarks['unreadable-id'] ?? 0);
	const unknown = counts.reduce((sum, table) => sum + lost(table), 0);
	const named = counts.reduce((sum, table) => sum + table.namedConcepts + (table.remarks['unreadable-id'] ?? 0), 0);
	if (named === 0 || unknown / named <= maxUnknown) return;
	const worst = [...counts]
		.sort((a, b) => lost(b) - lost(a))
		.slice(0, 3)
		.filter((table) => lost(table) > 0)
		.map((table) => `${labelOf(table)} ${lost(table)} of ${table.rowsIn}`);
	throw new DataError('omop', {
		file: 'CONCEPT',
		rule: `must hold the concepts of all but ${percent(maxUnknown)} of the rows that name one (maxUnknownConcepts, --max-unknown-concepts)`,
		value: `${percent(unknown / named)} not in it (${worst.join('; ')})`,
		fix: 'give the whole vocabulary, or allow the loss',
	});
}

/** What a user should know. */
export function lossNotes(counts: readonly OmopTableCounts[]): string[] {
	const shares = (shareOf: (table: OmopTableCounts) => number, above: number) =>
		counts
			.filter((table) => shareOf(table) > above)
			.map((table) => `${labelOf(table)} ${percent(shareOf(table))}`)
			.join(', ');
	const ofEvents = (n = 0, { rowsOut }: OmopTableCounts) => (rowsOut === 0 ? 0 : n / rowsOut);
	const lost = counts
		.filter((table) => lostShare(table) > 0.01)
		.map((table) => `${labelOf(table)}: ${percent(lostShare(table))} of the rows are lost (${reasonsOf(table)})`);
	const fromSource = shares((table) => ofEvents(table.codes['source-value'], table), 0);
	// One datetime in 1,440 is at midnight by chance where minutes are recorded.
	const midnight = shares((table) => ofEvents(table.remarks.midnight, table), 0.05);
	return [
		...lost,
		...(fromSource === '' ? [] : [`codes made of source values, for want of a known concept: ${fromSource}`]),
		...(midnight === ''
			? []
			: [
					`datetimes at midnight, perhaps dates without time (midnight: end-of-day, --midnight end-of-day): ${midnight}`,
				]),
	];
}
