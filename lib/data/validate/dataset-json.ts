import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../../files/json.js';
import type { Findings, Rule } from './rule.js';

const text = z.string().optional();
const columnNames = z.array(z.string()).optional();

/** `metadata/dataset.json` of MEDS 0.4: every field is optional, further ones are allowed. */
const DatasetJson = z.looseObject({
	dataset_name: text,
	dataset_version: text,
	etl_name: text,
	etl_version: text,
	meds_version: text,
	created_at: z.iso.datetime({ offset: true, local: true }).optional(),
	license: text,
	location_uri: text,
	description_uri: text,
	raw_source_id_columns: columnNames,
	code_modifier_columns: columnNames,
	additional_value_modality_columns: columnNames,
	site_id_columns: columnNames,
	other_extension_columns: columnNames,
});
export type DatasetJson = z.infer<typeof DatasetJson>;

const missing: Rule = {
	name: 'dataset-json-missing',
	severity: 'warning',
	basis: 'older-meds',
	unit: 'files',
	message: 'MEDS 0.4 has metadata/dataset.json: without it nobody knows which ETL made the codes',
};
const notJson: Rule = {
	name: 'dataset-json',
	severity: 'error',
	basis: 'meds-0.4',
	unit: 'fields',
	message: 'metadata/dataset.json must be a JSON object with the fields of MEDS 0.4',
};
const otherVersion: Rule = {
	name: 'meds-version',
	severity: 'warning',
	basis: 'older-meds',
	unit: 'files',
	message: 'meds_version is not 0.4',
};
const absentColumns: Rule = {
	name: 'dataset-json-columns',
	severity: 'warning',
	basis: 'data-quality',
	unit: 'columns',
	message: 'dataset.json names a column that the data do not have',
};

export const datasetJsonRules: readonly Rule[] = [missing, notJson, otherVersion, absentColumns];

const file = 'metadata/dataset.json';

/** @param columns - Columns of all data files. */
export async function validateDatasetJson(
	directory: string,
	columns: ReadonlySet<string>,
	findings: Findings,
): Promise<DatasetJson> {
	const metadata = await readDatasetJson(directory, findings);
	if (metadata === undefined) {
		findings.add(missing, 1, { file });
		return {};
	}
	const { meds_version: version } = metadata;
	if (version !== undefined && !/^0\.4(\.|$)/.test(version)) findings.add(otherVersion, 1, { file, value: version });
	for (const [field, names] of Object.entries(metadata)) {
		if (!field.endsWith('_columns') || !Array.isArray(names)) continue;
		for (const name of names) {
			if (!columns.has(String(name))) findings.add(absentColumns, 1, { file, column: String(name), value: field });
		}
	}
	return metadata;
}

/** The fields of `metadata/dataset.json`: none when it is no such object, which is a finding; undefined without the file. */
export async function readDatasetJson(directory: string, findings: Findings): Promise<DatasetJson | undefined> {
	let value: unknown;
	try {
		value = parseJson(await readFile(join(directory, file), 'utf8'));
	} catch (cause) {
		const { code, message } = cause as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
		findings.add(notJson, 1, { file, value: code ?? message });
		return {};
	}
	const parsed = DatasetJson.safeParse(value);
	if (parsed.success) return parsed.data;
	for (const { path, message } of parsed.error.issues) {
		findings.add(notJson, 1, { file, ...(path.length === 0 ? {} : { column: path.join('.') }), value: message });
	}
	return {};
}
