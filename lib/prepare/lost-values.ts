import { eventsSql, type MedsFiles } from '../data/meds.js';
import type { Database } from '../data/query.js';
import type { TextVocabulary } from '../tokenizer/text-vocabulary.js';
import { unitSpelling } from '../tokenizer/unit-spelling.js';
import type { Vocabulary } from '../tokenizer/vocabulary.js';

/** How a value is written that a structured token cannot express. */
const forms = {
	bound: 'a bound such as <6',
	'bound-beside': 'a bound such as <6 beside the number 6, which is read',
	text: 'text',
} as const;

/** Events of one code by unit and form; `number`: a value as it should be. */
export interface ValueForm {
	readonly code: string;
	readonly unit: string | null;
	readonly form: keyof typeof forms | 'number';
	readonly events: number;
}

/** Counts values by code, unit and form, where the data have units or text. */
export async function valueForms(
	database: Database,
	dataset: MedsFiles,
	present: { readonly text: boolean; readonly unit: boolean },
): Promise<ValueForm[]> {
	if (!present.text && !present.unit) return [];
	const columns = [...(present.text ? (['text_value'] as const) : []), ...(present.unit ? (['unit'] as const) : [])];
	const text = present.text ? "coalesce(text_value, '')" : "''";
	const bound = `regexp_matches(${text}, '^ *([<>]=?|≤|≥) *[+-]?[0-9]')`;
	const rows = await database.rows(
		`SELECT code, ${present.unit ? "nullif(unit, '')" : 'NULL'} AS unit,
			CASE WHEN value IS NOT NULL THEN CASE WHEN ${bound} THEN 'bound-beside' ELSE 'number' END
				WHEN ${bound} THEN 'bound' ELSE 'text' END AS form, count(*)::DOUBLE AS n
		FROM (${eventsSql(dataset, columns)}) WHERE value IS NOT NULL OR ${text} <> '' GROUP BY ALL ORDER BY n DESC, code, unit`,
	);
	return rows.map(({ code, unit, form, n }) => ({
		code: String(code),
		unit: unit === null ? null : String(unit),
		form: form as ValueForm['form'],
		events: Number(n),
	}));
}

/** What is lost of values, by form, with the codes that lose most. */
export function lostValueNotes(found: readonly ValueForm[], vocabulary: Vocabulary | TextVocabulary): string[] {
	if (vocabulary.kind !== 'structured') return [];
	const notes: string[] = [];
	for (const [form, words] of Object.entries(forms)) {
		const of = found.filter((one) => one.form === form);
		if (of.length > 0) notes.push(`${total(of)} values are ${words}: ${largest(of, ({ code }) => code)}`);
	}
	const { units } = vocabulary.file;
	const other = found.filter(
		({ code, unit, form }) =>
			form !== 'text' &&
			form !== 'bound' &&
			unit !== null &&
			units[code] !== undefined &&
			unitSpelling(unit) !== unitSpelling(units[code]),
	);
	if (other.length > 0) {
		const inUnit = ({ code, unit }: ValueForm) => `${code} in ${unit} (usual: ${units[code]})`;
		notes.push(`${total(other)} values are in another unit than usual and have no bin: ${largest(other, inUnit)}`);
	}
	return notes;
}

function total(list: readonly ValueForm[]): number {
	return list.reduce((sum, { events }) => sum + events, 0);
}

const shown = 5;

function largest(list: readonly ValueForm[], name: (one: ValueForm) => string): string {
	const counts = new Map<string, number>();
	for (const one of list) counts.set(name(one), (counts.get(name(one)) ?? 0) + one.events);
	const sorted = [...counts].sort(([, a], [, b]) => b - a);
	const first = sorted.slice(0, shown).map(([what, events]) => `${events} of ${what}`);
	return `${first.join(', ')}${sorted.length > shown ? ` and ${sorted.length - shown} more` : ''}`;
}
