import type { Database } from '../data/query.js';
import { type CodeSet, codeSetSql } from './code-set.js';
import type { TaskList, TaskListEntry, TimeToEventEntry } from './read.js';

/** Tasks and parts of tasks whose codes no event has: a label that is never true, or a condition that nobody meets. */
export function unmatchedTasks(entries: readonly (TaskListEntry | TimeToEventEntry)[]): string[] {
	const silent = new Map<string, readonly string[]>();
	for (const { name, matchingEvents, ...more } of entries) {
		const parts = 'predicates' in more ? (more.predicates ?? []) : [];
		const named = parts.filter(({ events }) => events === 0).map((part) => (part.name === 'event' ? 'it' : part.name));
		if (named.length > 0) silent.set(name, named);
		else if (matchingEvents === 0) silent.set(name, ['it']);
	}
	return [...silent].map(
		([name, parts]) =>
			`task ${name}: no event of the data matches ${parts.join(', ')}: the codes are those of another ETL?`,
	);
}

/** Index rules that gave nothing. */
export function unmatchedRules(rules: TaskList['indexRules']): string[] {
	return rules
		.filter(({ dates }) => dates === 0)
		.map(({ name, matchingEvents, description }) =>
			matchingEvents === 0
				? `index rule ${name}: no event of the data matches its codes (${description})`
				: `index rule ${name}: no day is left (${description})`,
		);
}

/** Codes that are to be hidden and that no event has: whoever named them believes a leak shut that stays open. */
export async function unmatchedHiding(database: Database, { exact, prefix }: CodeSet): Promise<string[]> {
	const members = [
		...exact.map((code) => ({ text: code, set: { exact: [code], prefix: [] } })),
		...prefix.map((code) => ({ text: `${code}*`, set: { exact: [], prefix: [code] } })),
	];
	const notes: string[] = [];
	for (const { text, set } of members) {
		const [found] = await database.rows(`SELECT count(*)::DOUBLE AS n FROM all_events WHERE ${codeSetSql(set)}`);
		if (Number(found?.n) === 0)
			notes.push(
				`no event of the data matches ${text}, so that nothing is hidden by it; a * at its end stands for what begins so (--hide-code, hideCodes)`,
			);
	}
	return notes;
}
