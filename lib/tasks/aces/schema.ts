import type { LineCounter } from 'yaml';
import { z } from 'zod';
import { parseConfig } from '../../config.js';
import { ConfigError } from '../../errors.js';
import { isObject, kindOf } from '../../found.js';
import { parseEndpoint } from './endpoint.js';

/** Parts of ACES that are not read, with what to do instead. */
const unsupported: Readonly<Record<string, string>> = {
	other_cols: 'predicates look at code and value alone',
	patient_demographics: 'leave subjects out of the data or the splits instead',
	static: 'static events have no time, and windows are made of times',
	value_equals: 'give value_min and value_max, both inclusive',
};

const builtIn = ['_ANY_EVENT', '_RECORD_START', '_RECORD_END'] as const;

const Code = z.union([
	z.string().min(1),
	z.strictObject({ any: z.array(z.string().min(1)).min(1) }),
	z.strictObject({ regex: z.string().min(1) }),
]);

const Plain = z
	.strictObject({
		code: Code,
		value_min: z.number().nullish(),
		value_max: z.number().nullish(),
		value_min_inclusive: z.boolean().nullish(),
		value_max_inclusive: z.boolean().nullish(),
	})
	.refine(
		({ value_min: min, value_max: max }) => typeof min !== 'number' || typeof max !== 'number' || min <= max,
		'must have a value_min of at most its value_max',
	);
const Derived = z.strictObject({
	/** `and(a, b, ...)` or `or(a, b, ...)`. */
	expr: z.string().transform((text, context) => {
		const found = /^\s*(and|or)\s*\(([^()]*)\)\s*$/.exec(text);
		const names = found?.[2]?.split(',').map((name) => name.trim()) ?? [];
		if (found === null || names.length < 2 || names.includes('')) {
			context.addIssue({ code: 'custom', message: 'must be and(a, b, ...) or or(a, b, ...)' });
			return z.NEVER;
		}
		return { operator: found[1] as 'and' | 'or', names };
	}),
});
export type Predicate = z.output<typeof Plain> | z.output<typeof Derived>;
/** A union would say of either that it is not the other. */
const Predicate = z.unknown().transform((value, context): Predicate => {
	const isDerived = typeof value === 'object' && value !== null && 'expr' in value;
	const result = (isDerived ? Derived : Plain).safeParse(value);
	if (result.success) return result.data;
	for (const { message, path } of result.error.issues) context.addIssue({ code: 'custom', message, path: [...path] });
	return z.NEVER;
});

const Bound = z.int().nonnegative().nullable();
/** `(1, None)` as ACES writes it, or a list of two. */
const Bounds = z
	.union([z.tuple([Bound, Bound]), z.string()])
	.transform((value, context): [number | null, number | null] => {
		if (typeof value !== 'string') return value;
		const found = /^\s*\(\s*(\d+|None|null)\s*,\s*(\d+|None|null)\s*\)\s*$/i.exec(value);
		if (found === null) {
			context.addIssue({ code: 'custom', message: 'must be (least, most), each a number or None' });
			return z.NEVER;
		}
		const [, least, most] = found.map((text) => (/^\d/.test(text) ? Number(text) : null));
		return [least!, most!];
	})
	.refine(
		([least, most]) => least === null || most === null || least <= most,
		'must be (least, most), the least first',
	);

const Endpoint = z
	.string()
	.nullable()
	.default(null)
	.transform((text, context) => {
		const endpoint = parseEndpoint(text);
		if (endpoint !== undefined) return endpoint;
		context.addIssue({
			code: 'custom',
			message:
				'must be null, a time such as `trigger + 24h` (at most a million days), or an event such as `start -> discharge`',
		});
		return z.NEVER;
	});

const Window = z.strictObject({
	start: Endpoint,
	end: Endpoint,
	start_inclusive: z.boolean().default(true),
	end_inclusive: z.boolean().default(true),
	has: z.record(z.string(), Bounds).default({}),
	/** Whether this event lies in the window is the label. */
	label: z.string().optional(),
	/** Which end of the window is the prediction time. */
	index_timestamp: z.enum(['start', 'end']).optional(),
});
export type Window = z.output<typeof Window>;

const AcesTask = z.strictObject({
	predicates: z.record(z.string(), Predicate),
	trigger: z.string(),
	windows: z.record(z.string().regex(/^\w+$/), Window),
	description: z.unknown().optional(),
	metadata: z.unknown().optional(),
});
export type AcesTask = z.output<typeof AcesTask>;

type Names = Readonly<Record<string, unknown>>;
type Yaml = typeof import('yaml');

/** YAML of names and values, and its predicates. @throws {ConfigError} Names file, line and what is wrong. */
async function yamlNames(file: string, text: string): Promise<{ readonly names: Names; readonly predicates: Names }> {
	const yaml = await import('yaml');
	const lines = new yaml.LineCounter();
	const document = yaml.parseDocument(text, { lineCounter: lines, uniqueKeys: true });
	const [error] = document.errors;
	if (error !== undefined) {
		const { line } = lines.linePos(error.pos[0]);
		throw new ConfigError(`[tasks ${file}] must be YAML but line ${line} is not: ${error.code}`);
	}
	refuseUnsupported(yaml, file, document.contents, lines);
	const named = (place: string, value: unknown): Names => {
		if (isObject(value)) return value;
		throw new ConfigError(`[tasks ${file}] ${place} must be names with values but is ${kindOf(value)}`);
	};
	const names = named('a task', document.toJS({ maxAliasCount: 100 }));
	return { names, predicates: named('predicates', names.predicates ?? {}) };
}

function refuseUnsupported(yaml: Yaml, file: string, node: unknown, lines: LineCounter): void {
	const { isMap, isScalar } = yaml;
	if (!isMap(node)) return;
	for (const { key, value } of node.items) {
		const name = isScalar(key) ? String(key.value) : '';
		if (Object.hasOwn(unsupported, name)) {
			const line = isScalar(key) && key.range ? lines.linePos(key.range[0]).line : 0;
			throw new ConfigError(
				`[tasks ${file}] ${name} (line ${line}) is a part of ACES that is not supported; ${unsupported[name]}`,
			);
		}
		refuseUnsupported(yaml, file, value, lines);
	}
}

/**
 * Reads a task in the form of ACES (justin13601/ACES), or refuses it by the name of what is not supported.
 *
 * @param predicates - YAML text of a data set's own predicates: they take the place of those of the task, which may be `???`.
 * @throws {ConfigError}
 */
export async function parseAcesTask(
	file: string,
	text: string,
	predicates?: { readonly file: string; readonly text: string },
): Promise<AcesTask> {
	const { names, predicates: ofTask } = await yamlNames(file, text);
	const own = predicates === undefined ? {} : (await yamlNames(predicates.file, predicates.text)).predicates;
	const merged: Names = { ...ofTask, ...own };
	const open = Object.keys(merged).filter((name) => JSON.stringify(merged[name])?.includes('???'));
	if (open.length > 0) {
		throw new ConfigError(
			`[tasks ${file}] predicates must say their codes but ${open.join(', ')} ${open.length === 1 ? 'is' : 'are'} ???; give the data set's predicates (--predicates)`,
		);
	}
	const task = parseConfig(`tasks ${file}`, AcesTask, { ...names, predicates: merged });
	checkNames(file, task);
	return task;
}

/** Every name that a task uses is one that it defines. */
function checkNames(file: string, { predicates, trigger, windows }: AcesTask): void {
	const known = new Set([...Object.keys(predicates), ...builtIn]);
	const requireKnown = (place: string, name: string) => {
		if (known.has(name)) return;
		throw new ConfigError(
			`[tasks ${file}] ${place} must name a predicate (${[...known].join(', ')}) but names ${name}`,
		);
	};
	requireKnown('trigger', trigger);
	for (const [name, predicate] of Object.entries(predicates)) {
		if (!('expr' in predicate)) continue;
		for (const part of predicate.expr.names) {
			requireKnown(`predicates.${name}.expr`, part);
			const other = predicates[part];
			if (other !== undefined && 'expr' in other) {
				throw new ConfigError(
					`[tasks ${file}] predicates.${name}.expr must be made of plain predicates but ${part} is derived itself`,
				);
			}
		}
	}
	const names = Object.keys(windows);
	for (const [name, window] of Object.entries(windows)) {
		for (const predicate of Object.keys(window.has)) requireKnown(`windows.${name}.has`, predicate);
		if (window.label !== undefined) requireKnown(`windows.${name}.label`, window.label);
		for (const side of ['start', 'end'] as const) {
			const endpoint = window[side];
			if (endpoint.kind === 'edge') continue;
			if (endpoint.kind === 'event') requireKnown(`windows.${name}.${side}`, endpoint.predicate);
			const { window: of, side: which } = endpoint.from;
			if (of === undefined || of === '') {
				if (of === '' && which === side)
					throw new ConfigError(`[tasks ${file}] windows.${name}.${side} must not refer to itself but does`);
				continue;
			}
			if (!names.includes(of)) {
				throw new ConfigError(
					`[tasks ${file}] windows.${name}.${side} must refer to trigger, start, end or a window (${names.join(', ')}) but refers to ${of}`,
				);
			}
		}
	}
	for (const [key, what] of [
		['label', 'the label'],
		['index_timestamp', 'the prediction time'],
	] as const) {
		const count = names.filter((name) => windows[name]![key] !== undefined).length;
		if (count !== 1)
			throw new ConfigError(`[tasks ${file}] exactly one window must carry ${key}, ${what}, but ${count} do`);
	}
}
