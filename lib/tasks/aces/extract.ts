import type { Database } from '../../data/query.js';
import { ConfigError } from '../../errors.js';
import type { Endpoint } from './endpoint.js';
import { createPredicates, type PredicateCount, type PredicateTables } from './predicates.js';
import type { AcesTask, Window } from './schema.js';

/** How many samples were left after a step. */
interface FlowStep {
	readonly step: string;
	readonly samples: number;
}

/** What became of the triggers of a task. */
interface AcesExtraction {
	readonly predicates: PredicateCount[];
	readonly flow: FlowStep[];
	/** Samples without the label whose record ends before the window in which it was looked for, while the patient lives. */
	readonly censored: number;
	/** Samples at the prediction time of another. */
	readonly repeated: number;
	/** Samples of subjects in no split. */
	readonly withoutSplit: number;
}

/**
 * Makes the table `labels` (subject_id, t, value) of a task: a sample for each trigger whose windows exist and hold what they must.
 * Needs the tables all_events (with values), subjects and subject_splits.
 *
 * @throws {ConfigError} For a regular expression that is none, and when the label's window begins at or before the prediction time: the answer would be in the history.
 */
export async function extractAcesTask(database: Database, name: string, task: AcesTask): Promise<AcesExtraction> {
	const { tables, counts } = await createPredicates(database, name, task);
	const flow: FlowStep[] = [];
	const count = async (step: string) => {
		const [found] = await database.rows('SELECT count(*)::DOUBLE AS n FROM candidates');
		flow.push({ step, samples: Number(found?.n) });
	};
	await database.run(
		`CREATE OR REPLACE TEMP TABLE candidates AS SELECT p.subject_id, p.t AS trigger_start,
			r.first AS record_start, r.last AS record_end FROM ${tables.get(task.trigger)} p
			JOIN (SELECT subject_id, min(time) AS first, max(time) AS last FROM all_events WHERE time IS NOT NULL GROUP BY subject_id) r USING (subject_id)`,
	);
	await count(`trigger ${task.trigger}`);
	for (const [window, side] of inOrder(name, task.windows)) {
		const endpoint = task.windows[window]![side];
		const column = columnOf(window, side);
		await database.run(
			`CREATE OR REPLACE TEMP TABLE candidates AS SELECT * FROM (SELECT c.*, ${endpointSql(endpoint, window, side, tables)} AS ${column} FROM candidates c)
			WHERE ${column} IS NOT NULL`,
		);
		if (endpoint.kind === 'event') await count(`${window}: a ${endpoint.predicate}`);
	}
	for (const [window, { has }] of Object.entries(task.windows)) {
		for (const [predicate, [least, most]] of Object.entries(has)) {
			const events = eventsIn(task.windows[window]!, window, tables.get(predicate)!);
			const conditions = [...(least === null ? [] : [`n >= ${least}`]), ...(most === null ? [] : [`n <= ${most}`])];
			if (conditions.length === 0) continue;
			await database.run(
				`CREATE OR REPLACE TEMP TABLE candidates AS SELECT * EXCLUDE (n) FROM (SELECT c.*, ${events} AS n FROM candidates c) WHERE ${conditions.join(' AND ')}`,
			);
			await count(`${window}: ${predicate} (${least ?? 'any'}, ${most ?? 'any'})`);
		}
	}
	return { predicates: counts, flow, ...(await label(database, name, task, tables)) };
}

async function label(database: Database, name: string, { windows }: AcesTask, tables: PredicateTables) {
	const [target, window] = Object.entries(windows).find(([, { label: predicate }]) => predicate !== undefined)!;
	const [index, { index_timestamp: side }] = Object.entries(windows).find(
		([, one]) => one.index_timestamp !== undefined,
	)!;
	const t = columnOf(index, side!);
	const [early] = await database.rows(
		`SELECT count(*)::DOUBLE AS n FROM candidates WHERE ${columnOf(target, 'start')} <${window.start_inclusive ? '=' : ''} ${t}`,
	);
	if (Number(early?.n) > 0) {
		throw new ConfigError(
			`[tasks ${name}] window ${target} must begin after the prediction time (${index}.${side}) but begins ${window.start_inclusive ? 'at or ' : ''}before it in ${early?.n} samples; ` +
				'begin it later, or leave its start out (start_inclusive: false)',
		);
	}
	// Only a window that ends by the clock can outlast the record unseen.
	const isTimed = window.end.kind === 'time';
	await database.run(
		`CREATE OR REPLACE TEMP TABLE found AS SELECT *, NOT value AND ${isTimed} AND ${columnOf(target, 'end')} > record_end
			AND NOT coalesce(death_time <= ${columnOf(target, 'end')}, false) AS censored,
			row_number() OVER (PARTITION BY subject_id, t ORDER BY trigger_start) AS nth
		FROM (SELECT c.*, ${t} AS t, d.death_time, s.split, ${eventsIn(window, target, tables.get(window.label!)!)} > 0 AS value
			FROM candidates c LEFT JOIN subjects d ON d.subject_id = c.subject_id LEFT JOIN subject_splits s ON s.subject_id = c.subject_id)`,
	);
	await database.run(
		'CREATE OR REPLACE TEMP TABLE labels AS SELECT subject_id, t, value FROM found WHERE split IS NOT NULL AND nth = 1 AND NOT censored',
	);
	const [counts] = await database.rows(
		`SELECT (count(*) FILTER (split IS NULL))::INTEGER AS splitless, (count(*) FILTER (split IS NOT NULL AND nth > 1))::INTEGER AS repeated,
			(count(*) FILTER (split IS NOT NULL AND nth = 1 AND censored))::INTEGER AS censored FROM found`,
	);
	return {
		censored: Number(counts?.censored),
		repeated: Number(counts?.repeated),
		withoutSplit: Number(counts?.splitless),
	};
}

/** Ends of windows, each behind those it refers to. @throws {ConfigError} For a circle. */
function inOrder(name: string, windows: AcesTask['windows']): [window: string, side: 'start' | 'end'][] {
	const order: [string, 'start' | 'end'][] = [];
	const state = new Map<string, 'open' | 'done'>();
	const visit = (window: string, side: 'start' | 'end') => {
		const key = `${window}.${side}`;
		if (state.get(key) === 'done') return;
		if (state.get(key) === 'open')
			throw new ConfigError(`[tasks ${name}] windows must not refer to each other in a circle but ${key} does`);
		state.set(key, 'open');
		const endpoint = windows[window]![side];
		if (endpoint.kind !== 'edge' && endpoint.from.window !== undefined)
			visit(endpoint.from.window === '' ? window : endpoint.from.window, endpoint.from.side);
		state.set(key, 'done');
		order.push([window, side]);
	};
	for (const window of Object.keys(windows)) for (const side of ['start', 'end'] as const) visit(window, side);
	return order;
}

function endpointSql(endpoint: Endpoint, window: string, side: 'start' | 'end', tables: PredicateTables): string {
	if (endpoint.kind === 'edge') return `c.record_${side}`;
	const { window: of, side: which } = endpoint.from;
	const from = of === undefined ? 'c.trigger_start' : `c.${columnOf(of === '' ? window : of, which)}`;
	if (endpoint.kind === 'time') return `${from} + ${endpoint.offset}`;
	const [choice, comparison] = endpoint.direction === 'next' ? ['min', '>'] : ['max', '<'];
	return `(SELECT ${choice}(p.t) FROM ${tables.get(endpoint.predicate)} p WHERE p.subject_id = c.subject_id AND p.t ${comparison} ${from})`;
}

const columnOf = (window: string, side: 'start' | 'end') => `window_${window}_${side}`;

/** SQL of how often a predicate holds in a window. */
function eventsIn({ start_inclusive, end_inclusive }: Window, window: string, table: string): string {
	return `(SELECT coalesce(sum(p.n), 0) FROM ${table} p WHERE p.subject_id = c.subject_id
		AND p.t >${start_inclusive ? '=' : ''} c.${columnOf(window, 'start')} AND p.t <${end_inclusive ? '=' : ''} c.${columnOf(window, 'end')})`;
}
