/**
 * Which rows of the OMOP CDM become which events, as data: meds_etl's mapping. A list of columns is a list of names that the
 * releases of the CDM gave to one thing; the first that a table has is read.
 */
export interface OmopEvents {
	/** CDM table. */
	readonly table: string;
	/** Of a table that gives several kinds of events. */
	readonly part?: string;
	/** Value of the column `table` in MEDS, and prefix of a code that is made of a source value. */
	readonly name: string;
	readonly code: FixedCode | ConceptCode;
	/** `static`: no time. `birth`: midnight of the day of birth. */
	readonly time: Moment | 'static' | 'birth';
	readonly end?: Moment;
	readonly value?: OmopValue;
	/** Key of the table; orders what happened at one time. */
	readonly key?: string;
	/** A row that does not have this part is not counted as lost: nobody says where a patient went, or of what race. */
	readonly optional?: true;
	/** Only the earliest of a person. */
	readonly once?: true;
	/** Imported on demand only. */
	readonly onDemand?: 'notes';
}

interface FixedCode {
	readonly fixed: string;
}

interface ConceptCode {
	readonly source?: readonly string[];
	readonly concept: readonly string[];
	/** The code of last resort is made of it; without one it is `<name>/unmapped`. */
	readonly sourceValue?: readonly string[];
	/** Prefix of that code; `name` where absent. */
	readonly prefix?: string;
	/** Stands for a row without concepts. */
	readonly defaultConcept?: number;
}

/** A datetime is taken as it is; a date stands for the last second of its day. */
export interface Moment {
	readonly datetime: readonly string[];
	readonly date: readonly string[];
}

interface OmopValue {
	readonly number?: string;
	/** Text, most telling first. */
	readonly text?: string;
	readonly concept?: string;
	/** What the source said; read where number, text and concept are absent. */
	readonly source?: string;
}

const moment = (name: string): Moment => ({ datetime: [`${name}_datetime`], date: [`${name}_date`] });

const concept = (name: string, defaultConcept?: number): ConceptCode => ({
	source: [`${name}_source_concept_id`],
	concept: [`${name}_concept_id`],
	...(defaultConcept === undefined
		? { sourceValue: [`${name}_source_value`] }
		: // The source value of a visit is the visit's own number: as a code it would be unique.
			{ defaultConcept }),
});

const demographic = (part: string): OmopEvents => ({
	table: 'person',
	part,
	name: 'person',
	code: { ...concept(part), prefix: part },
	time: 'static',
	optional: true,
});

/** In the order in which events of one time are stored. */
export const omopEvents: readonly OmopEvents[] = [
	{ table: 'person', part: 'birth', name: 'person', code: { fixed: 'MEDS_BIRTH' }, time: 'birth' },
	demographic('gender'),
	demographic('race'),
	demographic('ethnicity'),
	{
		table: 'visit_occurrence',
		part: 'start',
		name: 'visit',
		// meds_etl's DEFAULT_VISIT_CONCEPT_ID
		code: concept('visit', 8),
		time: moment('visit_start'),
		end: moment('visit_end'),
		key: 'visit_occurrence_id',
	},
	{
		table: 'visit_detail',
		name: 'visit_detail',
		// meds_etl's DEFAULT_VISIT_DETAIL_CONCEPT_ID
		code: concept('visit_detail', 4203722),
		// Drafts of 5.3 gave these the names that visit_occurrence has.
		time: {
			datetime: ['visit_detail_start_datetime', 'visit_start_datetime'],
			date: ['visit_detail_start_date', 'visit_start_date'],
		},
		end: {
			datetime: ['visit_detail_end_datetime', 'visit_end_datetime'],
			date: ['visit_detail_end_date', 'visit_end_date'],
		},
		key: 'visit_detail_id',
	},
	{
		table: 'condition_occurrence',
		name: 'condition',
		code: concept('condition'),
		time: moment('condition_start'),
		end: moment('condition_end'),
		key: 'condition_occurrence_id',
	},
	{
		table: 'drug_exposure',
		name: 'drug_exposure',
		code: concept('drug'),
		time: moment('drug_exposure_start'),
		end: moment('drug_exposure_end'),
		key: 'drug_exposure_id',
	},
	{
		table: 'procedure_occurrence',
		name: 'procedure',
		code: concept('procedure'),
		time: moment('procedure'),
		end: moment('procedure_end'),
		key: 'procedure_occurrence_id',
	},
	{
		table: 'device_exposure',
		name: 'device_exposure',
		code: concept('device'),
		time: moment('device_exposure_start'),
		end: moment('device_exposure_end'),
		key: 'device_exposure_id',
	},
	{
		table: 'measurement',
		name: 'measurement',
		code: concept('measurement'),
		time: moment('measurement'),
		value: { number: 'value_as_number', concept: 'value_as_concept_id', source: 'value_source_value' },
		key: 'measurement_id',
	},
	{
		table: 'observation',
		name: 'observation',
		code: concept('observation'),
		time: moment('observation'),
		value: {
			number: 'value_as_number',
			text: 'value_as_string',
			concept: 'value_as_concept_id',
			source: 'value_source_value',
		},
		key: 'observation_id',
	},
	{
		table: 'note',
		name: 'note',
		// meds_etl's DEFAULT_NOTE_CONCEPT_ID
		code: { concept: ['note_class_concept_id'], defaultConcept: 46235038 },
		time: moment('note'),
		value: { text: 'note_text' },
		key: 'note_id',
		onDemand: 'notes',
	},
	{
		table: 'visit_occurrence',
		part: 'discharge',
		name: 'visit',
		code: {
			concept: ['discharged_to_concept_id', 'discharge_to_concept_id'],
			sourceValue: ['discharged_to_source_value', 'discharge_to_source_value'],
			prefix: 'discharge',
		},
		time: moment('visit_end'),
		key: 'visit_occurrence_id',
		optional: true,
	},
	{ table: 'death', name: 'death', code: { fixed: 'MEDS_DEATH' }, time: moment('death'), once: true },
];

/** Tables about persons that are counted and not imported, and why. */
export const skippedTables: Readonly<Record<string, string>> = {
	observation_period: 'says when a person was observed, which is not an event',
	specimen: 'meds_etl has no events for it',
	note_nlp: 'derived from notes',
	cost: 'about bills, not patients',
	payer_plan_period: 'about insurance; meds_etl has no events for it',
	condition_era: 'derived from condition_occurrence',
	drug_era: 'derived from drug_exposure',
	dose_era: 'derived from drug_exposure',
	episode: 'derived by algorithms from other tables',
	episode_event: 'links of episode',
	fact_relationship: 'links between rows',
};

/** Tables that name things. */
export const vocabularyTables = ['concept', 'concept_relationship'] as const;

/** What the import looks for in a folder. */
export const knownTables: readonly string[] = [
	...new Set([
		...omopEvents.map(({ table }) => table),
		...Object.keys(skippedTables),
		...vocabularyTables,
		'cdm_source',
	]),
];
