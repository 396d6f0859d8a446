import { z } from 'zod';
import { nonNegativeDays, positiveDays, positiveInteger } from '../config.js';
import { inDays } from '../text/in-days.js';
import { type CodeSet, describeCodeSet, SomeCodes } from './code-set.js';
import { usualCodeSet, usualCodes } from './usual-codes.js';

const name = z
	.string()
	.regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be lower case words joined by hyphens')
	.optional();

/** What every rule may say. */
const common = {
	/** Tells rules of one kind apart; default: the kind. */
	name,
	/** Index dates kept per patient, drawn by the seed; absent: all of them. */
	perPatient: positiveInteger.optional(),
};

/** Days of a patient's record that are index dates. Each is a whole day: everything known by its end may be used. */
export const IndexRule = z.discriminatedUnion('kind', [
	/** Days with events, drawn by the seed; `perPatient` is that of the tasks. */
	z.strictObject({ kind: z.literal('random'), ...common }),
	/** Every n-th day with a visit. */
	z.strictObject({
		kind: z.literal('visit'),
		...common,
		every: positiveInteger.default(1),
		codes: SomeCodes.prefault(() => usualCodeSet('visit')),
	}),
	/** Days of admission. */
	z.strictObject({
		kind: z.literal('admission'),
		...common,
		codes: SomeCodes.prefault(() => usualCodeSet('admission')),
	}),
	/** Days of discharge. */
	z.strictObject({
		kind: z.literal('discharge'),
		...common,
		codes: SomeCodes.prefault(() => usualCodeSet('discharge')),
	}),
	/** The first day with any of some codes. */
	z.strictObject({ kind: z.literal('first-code'), ...common, codes: SomeCodes }),
	/** Days on which a patient gets a code of the set for the first time. */
	z.strictObject({
		kind: z.literal('new-diagnosis'),
		...common,
		codes: SomeCodes.prefault(() => usualCodeSet('diagnosis')),
	}),
	/** The first day with a drug on which another one came earlier. */
	z.strictObject({
		kind: z.literal('new-line'),
		...common,
		/** One set: each of its codes is a drug. Several: each set is one, such as a class or a regimen. */
		drugs: z.array(SomeCodes).min(1),
	}),
	/** Every so many days from the first day of the record, or from birth: fixed steps, with or without events. */
	z.strictObject({
		kind: z.literal('calendar'),
		...common,
		everyDays: positiveDays.default(365),
		from: z.enum(['record', 'birth']).default('record'),
	}),
	/** Days after an anchor, such as a diagnosis. */
	z.strictObject({
		kind: z.literal('anchor'),
		...common,
		codes: SomeCodes,
		days: z.array(nonNegativeDays).min(1).default([0, 30, 90, 180, 365]),
		/** Whether every day with such a code is an anchor, or the first. */
		occurrence: z.enum(['first', 'each']).default('first'),
	}),
]);
export type IndexRule = z.output<typeof IndexRule>;
export type IndexRuleInput = z.input<typeof IndexRule>;

/** Rules that need nothing but their name. */
export const plainIndexRules = ['random', 'visit', 'admission', 'discharge', 'new-diagnosis', 'calendar'] as const;

export function indexRuleName(rule: IndexRule): string {
	return rule.name ?? rule.kind;
}

/** The codes that a rule looks for; none for a rule that takes any day. */
export function codesOfRule(rule: IndexRule): CodeSet | undefined {
	if (rule.kind === 'random' || rule.kind === 'calendar') return undefined;
	if (rule.kind !== 'new-line') return rule.codes;
	return { exact: rule.drugs.flatMap(({ exact }) => exact), prefix: rule.drugs.flatMap(({ prefix }) => prefix) };
}

/** One line for people. */
export function describeIndexRule(rule: IndexRule, perPatient: number): string {
	const drawn = rule.perPatient === undefined ? '' : `, up to ${rule.perPatient} per patient`;
	switch (rule.kind) {
		case 'random':
			return `up to ${inDays(rule.perPatient ?? perPatient)} with events per patient`;
		case 'visit':
			return `${rule.every === 1 ? 'every' : `every ${ordinal(rule.every)}`} day with a visit (${inWords('visit', rule.codes)})${drawn}`;
		case 'admission':
		case 'discharge':
			return `days of ${rule.kind} (${inWords(rule.kind, rule.codes)})${drawn}`;
		case 'first-code':
			return `the first day with ${describeCodeSet(rule.codes)}`;
		case 'new-diagnosis':
			return `days with a new diagnosis (${inWords('diagnosis', rule.codes)})${drawn}`;
		case 'new-line':
			return `the first day of a drug after another (${rule.drugs.map(describeCodeSet).join(' | ')})${drawn}`;
		case 'calendar':
			return `every ${inDays(rule.everyDays)} from ${rule.from === 'birth' ? 'birth' : 'the first day of the record'}${drawn}`;
		case 'anchor':
			return `${rule.days.join(', ')} days after ${rule.occurrence === 'first' ? 'the first' : 'each'} ${describeCodeSet(rule.codes)}${drawn}`;
	}
}

function inWords(what: keyof typeof usualCodes, codes: CodeSet): string {
	return JSON.stringify(codes) === JSON.stringify(usualCodes[what]) ? 'the usual codes' : describeCodeSet(codes);
}

function ordinal(n: number): string {
	const [tens, ones] = [n % 100, n % 10];
	const ending = tens >= 11 && tens <= 13 ? 'th' : ones === 1 ? 'st' : ones === 2 ? 'nd' : ones === 3 ? 'rd' : 'th';
	return `${n}${ending}`;
}
