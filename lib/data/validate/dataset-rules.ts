import type { Rule } from './rule.js';

/**
 * A rule across files. Its SQL gives one row per violation: file, "row", subject_id, value (null where there is none), from
 * the tables of {@link createTables}.
 */
export interface DatasetRule extends Rule {
	readonly needs: 'data' | 'codes' | 'splits';
	readonly sql: string;
}

const codesFile = "'metadata/codes.parquet'";
const splitsFile = "'metadata/subject_splits.parquet'";
const sentinels = "('train'), ('tuning'), ('held_out')";
/** Subjects whose file lies in a folder named after a split. */
const placed = `SELECT f.name AS file, r."row", r.subject_id, s.split, f.folder FROM runs r JOIN files f ON f.id = r.file
	JOIN splits s ON s.subject_id = r.subject_id
	WHERE f.folder <> s.split AND f.folder IN (SELECT split FROM splits UNION ALL FROM (VALUES ${sentinels}))`;

export const datasetRules: readonly DatasetRule[] = [
	{
		name: 'subject-contiguous',
		severity: 'error',
		basis: 'meds-0.4',
		unit: 'subjects',
		message: "a subject's rows must be together in its file",
		fix: 'sort each file by subject_id and time',
		needs: 'data',
		sql: `SELECT f.name AS file, max(r."row") AS "row", r.subject_id, count(*) || ' separate runs of rows' AS value
			FROM runs r JOIN files f ON f.id = r.file GROUP BY f.name, r.subject_id HAVING count(*) > 1`,
	},
	{
		name: 'subject-one-file',
		severity: 'error',
		basis: 'meds-0.4',
		unit: 'subjects',
		message: "a subject's rows must be in one file",
		fix: 'shard by subject',
		needs: 'data',
		sql: `SELECT max(f.name) AS file, arg_max(r."row", f.name) AS "row", r.subject_id, 'also in ' || min(f.name) AS value
			FROM runs r JOIN files f ON f.id = r.file GROUP BY r.subject_id HAVING count(DISTINCT r.file) > 1`,
	},
	{
		name: 'no-events',
		severity: 'error',
		basis: 'data-quality',
		unit: 'files',
		message: 'a data set without events is of no use',
		needs: 'data',
		sql: `SELECT 'data' AS file, NULL AS "row", NULL AS subject_id, '0 rows' AS value WHERE NOT EXISTS (FROM data_codes)`,
	},
	{
		name: 'code-unlisted',
		severity: 'error',
		basis: 'meds-0.4',
		unit: 'codes',
		message: 'every code of the data must be in metadata/codes.parquet',
		needs: 'codes',
		sql: `SELECT arg_min(f.name, (f.name, d."row")) AS file, arg_min(d."row", (f.name, d."row")) AS "row",
			arg_min(d.subject_id, (f.name, d."row")) AS subject_id, d.code AS value
			FROM data_codes d JOIN files f ON f.id = d.file ANTI JOIN codes c ON c.code = d.code GROUP BY d.code`,
	},
	{
		name: 'codes-null',
		severity: 'error',
		basis: 'meds-0.4',
		unit: 'rows',
		message: 'code must not be null in metadata/codes.parquet',
		needs: 'codes',
		sql: `SELECT ${codesFile} AS file, "row", NULL AS subject_id, NULL AS value FROM codes WHERE code IS NULL`,
	},
	{
		name: 'codes-repeated',
		severity: 'warning',
		basis: 'data-quality',
		unit: 'codes',
		message: 'a code has several rows in metadata/codes.parquet, and dataset.json names no code_modifier_columns',
		needs: 'codes',
		sql: `SELECT ${codesFile} AS file, max("row") AS "row", NULL AS subject_id, code AS value
			FROM codes WHERE code IS NOT NULL GROUP BY code HAVING count(*) > 1`,
	},
	{
		name: 'splits-null',
		severity: 'error',
		basis: 'meds-0.4',
		unit: 'rows',
		message: 'subject_id and split must not be null in metadata/subject_splits.parquet',
		needs: 'splits',
		sql: `SELECT ${splitsFile} AS file, "row", subject_id, split AS value FROM splits WHERE subject_id IS NULL OR split IS NULL`,
	},
	{
		name: 'splits-repeated',
		severity: 'error',
		basis: 'meds-0.4',
		unit: 'subjects',
		message: 'a subject must have one row and one split in metadata/subject_splits.parquet',
		needs: 'splits',
		sql: `SELECT ${splitsFile} AS file, max("row") AS "row", subject_id, string_agg(split, ', ' ORDER BY "row") AS value
			FROM splits WHERE subject_id IS NOT NULL GROUP BY subject_id HAVING count(*) > 1`,
	},
	{
		name: 'held-out-in-train',
		severity: 'error',
		basis: 'data-quality',
		unit: 'subjects',
		message: 'a held-out subject lies in data/train/: whoever reads by folder trains on it, and every result is void',
		fix: 'move the subject, or correct its split',
		needs: 'splits',
		sql: `SELECT DISTINCT ON (subject_id) file, "row", subject_id, folder AS value
			FROM (${placed}) WHERE split = 'held_out' AND folder = 'train' ORDER BY subject_id, file, "row"`,
	},
	{
		name: 'split-folder',
		severity: 'warning',
		basis: 'data-quality',
		unit: 'subjects',
		message: "a subject's split is not that of its file's folder",
		needs: 'splits',
		sql: `SELECT DISTINCT ON (subject_id) file, "row", subject_id, split || ' in folder ' || folder AS value
			FROM (${placed}) WHERE NOT (split = 'held_out' AND folder = 'train') ORDER BY subject_id, file, "row"`,
	},
	{
		name: 'split-name',
		severity: 'warning',
		basis: 'data-quality',
		unit: 'subjects',
		message: 'split is not train, tuning or held_out: MEDS allows it, and the subject is left out',
		needs: 'splits',
		sql: `SELECT ${splitsFile} AS file, "row", subject_id, split AS value FROM splits
			WHERE split NOT IN (FROM (VALUES ${sentinels}))`,
	},
	{
		name: 'split-empty',
		severity: 'warning',
		basis: 'data-quality',
		unit: 'splits',
		message: 'a split has no subject with events',
		needs: 'splits',
		sql: `SELECT ${splitsFile} AS file, NULL AS "row", NULL AS subject_id, n.name AS value FROM (VALUES ${sentinels}) n(name)
			WHERE NOT EXISTS (FROM splits s JOIN runs r ON r.subject_id = s.subject_id WHERE s.split = n.name)`,
	},
	{
		name: 'subject-without-split',
		severity: 'warning',
		basis: 'data-quality',
		unit: 'subjects',
		message: 'a subject with events is in no split, so it is never read',
		needs: 'splits',
		sql: `SELECT min(f.name) AS file, arg_min(r."row", f.name) AS "row", r.subject_id, NULL AS value
			FROM runs r JOIN files f ON f.id = r.file ANTI JOIN splits s ON s.subject_id = r.subject_id GROUP BY r.subject_id`,
	},
	{
		name: 'subject-without-events',
		severity: 'warning',
		basis: 'data-quality',
		unit: 'subjects',
		message: 'a subject of metadata/subject_splits.parquet has no events',
		needs: 'splits',
		sql: `SELECT ${splitsFile} AS file, s."row", s.subject_id, s.split AS value
			FROM splits s ANTI JOIN runs r ON r.subject_id = s.subject_id WHERE s.subject_id IS NOT NULL`,
	},
];
