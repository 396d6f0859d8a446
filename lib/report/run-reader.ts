import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import type { z } from 'zod';
import { ruleOf } from '../config.js';
import { DataError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { parseJson, readJson } from '../files/json.js';
import { isObject, kindOf, shown } from '../found.js';
import type { InstrumentMetrics } from '../train/instruments/metrics.js';
import { MetricsLine, type StepMetrics, type TuningMetrics } from '../train/metrics.js';

/** How long lines are parsed before other work gets its turn, milliseconds. */
const turn = 20;

/** What the report needs of a run folder. */
export interface RunRecord {
	/** `config.json` as it is: a run of another version is still shown. */
	readonly config: Readonly<Record<string, unknown>>;
	readonly steps: readonly StepMetrics[];
	readonly tuning: readonly TuningMetrics[];
	readonly instruments: readonly InstrumentMetrics[];
	/** The last line was cut off by a crash and is not counted. */
	readonly cutOff: boolean;
}

/** @throws {DataError} Naming file and rule. */
export async function readRun(directory: string): Promise<RunRecord> {
	const file = join(directory, 'config.json');
	const config = await readJson(file, { scope: 'report', fix: 'give the folder that training wrote' });
	if (!isObject(config)) throw new DataError('report', { file, rule: 'must hold an object', value: kindOf(config) });
	return { config, ...(await readMetrics(join(directory, 'metrics.jsonl'))) };
}

/** The value as its schema has it. @throws {DataError} With the first violation. */
export function checked<Schema extends z.ZodType>(
	file: string,
	place: string,
	schema: Schema,
	value: unknown,
): z.output<Schema> {
	const result = schema.safeParse(value, { reportInput: true });
	if (result.success) return result.data;
	const issue = result.error.issues[0]!;
	const path = [place, issue.path.map(String).join('.')].filter((part) => part !== '').join(' ');
	const found = issue.input;
	throw new DataError('report', {
		file,
		rule: `${path === '' ? 'the file' : path} ${ruleOf(issue)}`,
		...(found === undefined ? {} : { value: shown(found) }),
		fix: 'make it again with this version',
	});
}

async function readMetrics(file: string): Promise<Omit<RunRecord, 'config'>> {
	const steps: StepMetrics[] = [];
	const tuning: TuningMetrics[] = [];
	const instruments: InstrumentMetrics[] = [];
	let number = 0;
	let broken: { readonly number: number; readonly cause: unknown } | undefined;
	let since = performance.now();
	try {
		for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
			number++;
			if (text === '') continue;
			// Only the line that a crash cut off, the last one, may be incomplete.
			if (broken !== undefined) break;
			let json: unknown;
			try {
				json = parseJson(text);
			} catch (cause) {
				broken = { number, cause };
				continue;
			}
			const line = checked(file, `line ${number}`, MetricsLine, json);
			if (line.kind === 'tuning') tuning.push(ascending(line, tuning, file, number));
			else if (line.kind === 'instruments') instruments.push(ascending(line, instruments, file, number));
			else steps.push(ascending(line, steps, file, number));
			if (performance.now() - since > turn) {
				await setImmediate();
				since = performance.now();
			}
		}
	} catch (cause) {
		if (cause instanceof DataError) throw cause;
		throw new DataError(
			'report',
			{ file, rule: 'must be readable', value: faultOf(cause), fix: 'give the folder that training wrote' },
			{ cause },
		);
	}
	if (broken !== undefined && broken.number !== number) {
		throw new DataError(
			'report',
			{ file, rule: `line ${broken.number} must be JSON`, value: faultOf(broken.cause) },
			{ cause: broken.cause },
		);
	}
	return { steps, tuning, instruments, cutOff: broken !== undefined };
}

function ascending<Line extends MetricsLine>(line: Line, before: readonly Line[], file: string, number: number): Line {
	const previous = before.at(-1);
	if (previous !== undefined && line.step <= previous.step) {
		throw new DataError('report', {
			file,
			rule: `line ${number}: steps of "${line.kind}" must ascend`,
			value: `${line.step} after ${previous.step}`,
		});
	}
	return line;
}
