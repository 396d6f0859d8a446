import type { z } from 'zod';
import { parseConfig } from '../config.js';
import { editDistance } from '../data/edit-distance.js';
import { ConfigError } from '../errors.js';
import { parseJson, readJson } from '../files/json.js';
import { isObject, kindOf } from '../found.js';

/** A flag of its own for one of the options. */
export interface FlagOfOption {
	/** `--steps`. */
	readonly flag: string;
	/** The option it sets: `steps`. */
	readonly path: string;
	/** Undefined when the flag was not given. */
	readonly value: unknown;
}

/** The options in a command's --config file; none without a file. The schema is not applied here. */
export async function configFile(command: string, file: string | undefined): Promise<object> {
	if (file === undefined) return {};
	const scope = `${command} --config`;
	const content = await readJson(file, { scope, rule: 'must be a JSON file', error: ConfigError });
	if (isObject(content)) return content;
	throw new ConfigError(`[${scope}] ${file} must hold an object with options but holds ${kindOf(content)}`);
}

/** The text of `--set`, for every command that has it. */
export const setOption = {
	type: 'string' as const,
	requiresArg: true,
	describe: 'path=value: any option by its path, such as optimizer.learningRate=1e-4; once per option',
	// A list of words would swallow the positional arguments that follow.
	coerce: (given: unknown): string[] => [given].flat().map(String),
};

/**
 * Puts flags and `--set path=value` into options, and checks them. A value is JSON where it can be read as such, otherwise text.
 *
 * @param base - Options so far; left as they are.
 * @param flags - Win over `base`. An option that a flag and --set both give is refused.
 * @returns What was given, without defaults.
 * @throws {ConfigError} For a path that is no option (the nearest is named), an option that is set twice, a text without `=`,
 * and options that break the schema.
 */
export function applySettings<Options extends object>(
	scope: string,
	schema: z.ZodType,
	base: Options,
	settings: readonly string[] = [],
	flags: readonly FlagOfOption[] = [],
): Options {
	const parsed = settings.map((text) => parseSetting(scope, text));
	const given = flags.filter(({ value }) => value !== undefined);
	const known = optionPaths(schema);
	for (const [i, { path }] of parsed.entries()) {
		if (!known.has(path)) {
			throw new ConfigError(
				`[${scope}] --set must name an option but ${JSON.stringify(path)} is none; the nearest is ${nearest(path, known)}`,
			);
		}
		const flag = given.find((one) => one.path === path);
		if (flag !== undefined)
			throw new ConfigError(`[${scope}] ${flag.flag} and --set ${path} are the same option; give one of them`);
		if (parsed.findIndex((other) => other.path === path) !== i)
			throw new ConfigError(`[${scope}] --set must name an option once but names ${path} twice`);
	}
	const result = structuredClone(base) as Record<string, unknown>;
	for (const { path, value } of given) result[path] = value;
	// The kind of a part decides which other options it has; whole parts come before what is set inside of them.
	const depth = (path: string) => path.split('.').length + (path.endsWith('.kind') ? -1 : 0);
	for (const { path, value } of parsed.sort((a, b) => depth(a.path) - depth(b.path))) set(result, schema, path, value);
	parseConfig(scope, schema, result);
	return result as Options;
}

function parseSetting(scope: string, text: string): { readonly path: string; readonly value: unknown } {
	const at = text.indexOf('=');
	if (at < 1) throw new ConfigError(`[${scope}] --set must be path=value but is ${JSON.stringify(text)}`);
	const [path, value] = [text.slice(0, at), text.slice(at + 1)];
	try {
		return { path, value: parseJson(value) };
	} catch {
		return { path, value };
	}
}

function set(options: Record<string, unknown>, schema: z.ZodType, path: string, value: unknown): void {
	const names = path.split('.');
	const last = names.pop()!;
	let place = options;
	let at: z.ZodType | undefined = schema;
	for (const [i, name] of names.entries()) {
		const next = names[i + 1] ?? last;
		at = at === undefined ? undefined : fieldsOf(at).get(name)?.[0];
		const found = place[name];
		if (!isObject(found))
			place[name] = found === undefined && at !== undefined ? structuredClone(startOf(at, next)) : {};
		place = place[name] as Record<string, unknown>;
	}
	// Another kind has other options: those of the one before it would be unknown.
	if (last === 'kind' && place.kind !== value) for (const name of Object.keys(place)) delete place[name];
	place[last] = value;
}

type Definition = {
	readonly type: string;
	readonly innerType?: z.ZodType;
	readonly in?: z.ZodType;
	readonly options?: readonly z.ZodType[];
	readonly shape?: Readonly<Record<string, z.ZodType>>;
	readonly defaultValue?: unknown;
	readonly values?: readonly unknown[];
};
const definitionOf = (schema: z.ZodType) => schema.def as unknown as Definition;

/** The named parts of an object, in any of the forms that it may have. */
function fieldsOf(schema: z.ZodType): Map<string, z.ZodType[]> {
	const fields = new Map<string, z.ZodType[]>();
	const visit = (one: z.ZodType): void => {
		const { innerType, in: input, options, shape } = definitionOf(one);
		for (const [name, field] of Object.entries(shape ?? {})) fields.set(name, [...(fields.get(name) ?? []), field]);
		for (const inner of [innerType, input, ...(options ?? [])]) if (inner !== undefined) visit(inner);
	};
	visit(schema);
	return fields;
}

/** What a part that was not given starts from: its default, or the only kind that has the option. */
function startOf(schema: z.ZodType, option: string): object {
	const { innerType, in: input, options, defaultValue } = definitionOf(schema);
	if (typeof defaultValue === 'object' && defaultValue !== null) return defaultValue;
	const inner = innerType ?? input;
	if (inner !== undefined) return startOf(inner, option);
	const kinds = (options ?? []).map((one) => definitionOf(one).shape ?? {}).filter((shape) => option in shape);
	const [kind] = kinds.length === 1 && kinds[0]!.kind !== undefined ? (definitionOf(kinds[0]!.kind).values ?? []) : [];
	return kind === undefined ? {} : { kind };
}

/** Every option by its path, parts with options of their own as well. */
function optionPaths(schema: z.ZodType): Set<string> {
	const paths = new Set<string>();
	const visit = (one: z.ZodType, prefix: string): void => {
		for (const [name, fields] of fieldsOf(one)) {
			paths.add(prefix + name);
			for (const field of fields) visit(field, `${prefix}${name}.`);
		}
	};
	visit(schema, '');
	return paths;
}

function nearest(path: string, known: ReadonlySet<string>): string {
	return [...known]
		.map((other) => ({ other, distance: pathDistance(path, other) }))
		.reduce((best, one) => (one.distance < best.distance ? one : best)).other;
}

/** Letters that differ, capitals apart. To leave out parts in front is the likeliest slip, to put others there is less likely. */
function pathDistance(given: string, known: string): number {
	const distances = endsOf(given).flatMap((end, foreign) =>
		endsOf(known).map((other, missing) => editDistance(end, other) + 0.5 * missing + 2 * foreign),
	);
	return Math.min(...distances);
}

/** `a.b.c`, `b.c` and `c`, in small letters. */
function endsOf(path: string): string[] {
	const names = path.toLowerCase().split('.');
	return names.map((_, from) => names.slice(from).join('.'));
}
