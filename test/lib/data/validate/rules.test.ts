import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { validateMeds, validationRules } from '../../../../lib/data/validate.js';
import { type MedsFolder, type Row, soundMeds, writeMeds } from '../../../fixtures/meds-folder.js';
import { temporaryFolder } from '../../../fixtures/temporary-folder.js';

// Some sixty data sets are written and read.
t.setTimeout(600_000);

const train = 'data/train/0.parquet';
const tuning = 'data/tuning/0.parquet';
const heldOut = 'data/held_out/0.parquet';
const codes = 'metadata/codes.parquet';
const splits = 'metadata/subject_splits.parquet';
const json = 'metadata/dataset.json';
const columns = 's::BIGINT AS subject_id, t::TIMESTAMP AS time, c::VARCHAR AS code';
const long = 'C'.repeat(10_000);

/** How a rule is broken: what is changed before writing or after it, what is counted, and where first. */
interface Case {
	readonly change?: (meds: MedsFolder) => void;
	readonly spoil?: (root: string) => void;
	readonly count: number;
	readonly first: Readonly<Record<string, unknown>>;
	/** Rules that are broken with it, always. */
	readonly also?: readonly string[];
	/** Where two forms break the rule. */
	readonly name?: string;
}

const insert = (meds: MedsFolder, file: string, at: number, ...rows: Row[]) => meds.data[file]!.splice(at, 0, ...rows);
const addCode = (meds: MedsFolder, code: string) => meds.codes!.push([code, 'added']);
const spoilText = (root: string, file: string, text: string) => {
	const bytes = readFileSync(join(root, file));
	let at = bytes.indexOf(text);
	if (at < 0) throw new Error(`${text} is not in ${file}`);
	for (; at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at] = 0xff;
	writeFileSync(join(root, file), bytes);
};

const cases: Readonly<Record<string, Case>> = {
	'hidden-file': {
		spoil: (root) => writeFileSync(join(root, 'data/train/._0.parquet'), 'Mac OS X'),
		count: 1,
		first: { file: 'data/train/._0.parquet' },
	},
	'file-readable': {
		spoil: (root) => writeFileSync(join(root, tuning), 'PAR1 no parquet file PAR1'),
		count: 1,
		first: { file: tuning },
		also: ['split-empty', 'subject-without-events'],
	},
	'text-utf8': {
		change: (meds) => {
			meds.select[tuning] = `${columns}, v::FLOAT AS numeric_value, 'SPOILT NOTE' AS note`;
		},
		spoil: (root) => spoilText(root, tuning, 'SPOILT NOTE'),
		count: 1,
		first: { file: tuning, column: 'note' },
	},
	'column-missing': {
		change: (meds) => {
			meds.select[tuning] = 's::BIGINT AS subject_id, c::VARCHAR AS code';
		},
		count: 1,
		first: { file: tuning, column: 'time', value: 'columns subject_id, code' },
		also: ['split-empty', 'subject-without-events'],
	},
	'column-type': {
		change: (meds) => {
			meds.select[tuning] = `${columns}, v::VARCHAR AS numeric_value`;
		},
		count: 1,
		first: { file: tuning, column: 'numeric_value', value: 'string instead of float' },
	},
	'column-extra': {
		change: (meds) => {
			meds.select[splits] = "a::BIGINT AS subject_id, b::VARCHAR AS split, 'x' AS site";
		},
		count: 1,
		first: { file: splits, column: 'site' },
	},
	'column-type-older': {
		change: (meds) => {
			meds.select[tuning] =
				's::INTEGER AS subject_id, t::TIMESTAMPTZ AS time, c::VARCHAR AS code, v::DOUBLE AS numeric_value';
			meds.select[heldOut] =
				's::BIGINT AS subject_id, t::TIMESTAMP_NS AS time, c::VARCHAR AS code, v::FLOAT AS numeric_value';
			meds.select[train] =
				's::BIGINT AS subject_id, t::TIMESTAMP_MS AS time, c::VARCHAR AS code, v::FLOAT AS numeric_value';
		},
		count: 5,
		first: { file: heldOut, column: 'time', value: 'timestamp[ns] instead of timestamp[us]' },
	},
	'column-name-older': {
		change: (meds) => {
			meds.select[tuning] =
				's::BIGINT AS patient_id, t::TIMESTAMP AS timestamp, c::VARCHAR AS code, v::FLOAT AS numerical_value';
		},
		count: 3,
		first: { file: tuning, column: 'subject_id', value: 'patient_id' },
	},
	'column-value': {
		change: (meds) => {
			meds.select[tuning] = `${columns}, v::FLOAT AS value`;
		},
		count: 1,
		first: { file: tuning, column: 'value', value: 'float' },
	},
	'dataset-json-missing': {
		change: (meds) => {
			meds.dataset = undefined;
		},
		count: 1,
		first: { file: json },
	},
	'dataset-json': {
		change: (meds) => {
			meds.dataset = { dataset_name: 7, created_at: 'yesterday', meds_version: '0.4.0' };
		},
		count: 2,
		first: { file: json, column: 'dataset_name' },
	},
	'meds-version': {
		change: (meds) => {
			meds.dataset = { meds_version: '0.3.3' };
		},
		count: 1,
		first: { file: json, value: '0.3.3' },
	},
	'dataset-json-columns': {
		change: (meds) => {
			meds.dataset = { meds_version: '0.4.0', site_id_columns: ['site'], other_extension_columns: ['code'] };
		},
		count: 1,
		first: { file: json, column: 'site', value: 'site_id_columns' },
	},
	'codes-missing': {
		change: (meds) => {
			meds.codes = undefined;
		},
		count: 1,
		first: { file: codes },
	},
	'subject-splits-missing': {
		change: (meds) => {
			meds.splits = undefined;
		},
		count: 1,
		first: { file: splits },
	},
	'subject-null': {
		change: (meds) => insert(meds, tuning, 0, [null, null, 'GENDER//F'], [null, null, 'MEDS_BIRTH']),
		count: 2,
		first: { file: tuning, row: 0, value: 'null' },
	},
	'subject-negative': {
		change: (meds) => {
			insert(meds, tuning, 5, [-3, '2020-01-01', 'LAB//1//mg', 1], [-3, '2020-01-02', 'LAB//1//mg', 1]);
			meds.splits!.push([-3, 'tuning']);
		},
		count: 2,
		first: { file: tuning, row: 5, subjectId: -3n, value: '-3' },
		also: ['subject-without-birth'],
	},
	'code-null': {
		change: (meds) => insert(meds, tuning, 2, [3, '1990-01-01', null, 1]),
		count: 1,
		first: { file: tuning, row: 2, subjectId: 3n, value: 'null' },
	},
	'code-empty': {
		change: (meds) => {
			insert(meds, tuning, 2, [3, '1990-01-01', '', 1], [3, '1990-01-01', '  ', 1]);
			addCode(meds, '');
			addCode(meds, '  ');
		},
		count: 2,
		first: { file: tuning, row: 2, subjectId: 3n, value: '""' },
	},
	'code-long': {
		change: (meds) => {
			insert(meds, tuning, 2, [3, '1990-01-01', long]);
			addCode(meds, long);
		},
		count: 1,
		first: { file: tuning, row: 2, subjectId: 3n, value: '10000 characters' },
	},
	'value-not-finite': {
		change: (meds) =>
			insert(meds, tuning, 2, [3, '1990-01-01', 'LAB//1//mg', Number.NaN], [3, '1990-01-02', 'LAB//1//mg', -Infinity]),
		count: 2,
		first: { file: tuning, row: 2, subjectId: 3n, value: 'nan' },
	},
	'value-range': {
		change: (meds) => {
			insert(meds, tuning, 2, [3, '1990-01-01', 'LAB//1//mg', '1e39']);
			meds.select[tuning] = `${columns}, v::DOUBLE AS numeric_value`;
		},
		count: 1,
		first: { file: tuning, row: 2, subjectId: 3n, value: '1e+39' },
		also: ['column-type-older'],
	},
	'time-infinite': {
		change: (meds) => insert(meds, tuning, 2, [3, 'infinity', 'LAB//1//mg', 1]),
		count: 1,
		first: { file: tuning, row: 2, subjectId: 3n, value: 'infinity' },
	},
	'static-first': {
		change: (meds) => insert(meds, tuning, 3, [3, null, 'GENDER//F', 7]),
		count: 1,
		first: { file: tuning, row: 3, subjectId: 3n, value: 'GENDER//F' },
	},
	'time-order': {
		// A static row between the two does not hide it.
		change: (meds) => insert(meds, tuning, 4, [3, null, 'GENDER//F', 7], [3, '2020-01-01', 'LAB//1//mg', 1]),
		count: 1,
		first: { file: tuning, row: 5, subjectId: 3n, value: '2020-01-01 00:00:00 after 2020-01-02 08:00:00' },
		also: ['static-first'],
	},
	'before-birth': {
		change: (meds) => insert(meds, tuning, 1, [3, '1959-12-31', 'LAB//1//mg', 1]),
		count: 1,
		first: { file: tuning, row: 1, subjectId: 3n, value: '1959-12-31 00:00:00 before 1960-01-01 00:00:00' },
	},
	'after-death': {
		change: (meds) => insert(meds, tuning, 5, [3, '2020-01-03 00:00:01', 'LAB//1//mg', 1]),
		count: 1,
		first: { file: tuning, row: 5, subjectId: 3n, value: '2020-01-03 00:00:01 after 2020-01-03 00:00:00' },
	},
	'subject-without-birth': {
		change: (meds) => {
			meds.data[tuning]![1] = [3, '1960-01-01', 'LAB//1//mg', 3];
		},
		count: 1,
		first: { file: tuning, row: 0, subjectId: 3n },
	},
	'duplicate-row': {
		change: (meds) =>
			insert(meds, tuning, 3, [3, '2020-01-01 08:00:00', 'LAB//1//mg', 3], [3, '2020-01-01 08:00:00', 'LAB//1//mg', 3]),
		count: 2,
		first: { file: tuning, row: 2, subjectId: 3n, value: 'LAB//1//mg' },
	},
	'subject-contiguous': {
		change: (meds) => insert(meds, train, 10, [1, '2020-01-02 09:00:00', 'LAB//1//mg', 1]),
		count: 1,
		first: { file: train, row: 10, subjectId: 1n, value: '2 separate runs of rows' },
	},
	'subject-one-file': {
		change: (meds) => {
			meds.data['data/train/1.parquet'] = [[1, '2020-01-02 09:00:00', 'LAB//1//mg', 1]];
		},
		count: 1,
		first: { file: 'data/train/1.parquet', row: 0, subjectId: 1n, value: `also in ${train}` },
		also: ['subject-without-birth'],
	},
	'no-events': {
		change: (meds) => {
			for (const name of Object.keys(meds.data)) meds.data[name] = [];
		},
		count: 1,
		first: { file: 'data', value: '0 rows' },
		also: ['split-empty', 'subject-without-events'],
	},
	'code-unlisted': {
		change: (meds) => insert(meds, tuning, 2, [3, '1990-01-01', 'NEW'], [3, '1990-01-02', 'NEW']),
		count: 1,
		first: { file: tuning, row: 2, subjectId: 3n, value: 'NEW' },
	},
	'codes-null': {
		change: (meds) => void meds.codes!.push([null, 'nothing']),
		count: 1,
		first: { file: codes, row: 4 },
	},
	'codes-repeated': {
		change: (meds) => void addCode(meds, 'MEDS_BIRTH'),
		count: 1,
		first: { file: codes, row: 4, value: 'MEDS_BIRTH' },
	},
	'splits-null': {
		change: (meds) => void meds.splits!.push([null, 'train']),
		count: 1,
		first: { file: splits, row: 4, value: 'train' },
	},
	'splits-repeated': {
		change: (meds) => void meds.splits!.push([1, 'train']),
		count: 1,
		first: { file: splits, row: 4, subjectId: 1n, value: 'train, train' },
	},
	'held-out-in-train': {
		change: (meds) => {
			meds.splits![1] = [2, 'held_out'];
		},
		count: 1,
		first: { file: train, row: 5, subjectId: 2n, value: 'train' },
	},
	'split-folder': {
		change: (meds) => {
			meds.splits![1] = [2, 'tuning'];
		},
		count: 1,
		first: { file: train, row: 5, subjectId: 2n, value: 'tuning in folder train' },
	},
	'split-name': {
		change: (meds) => {
			meds.data['data/5.parquet'] = [[5, '2020-01-01', 'LAB//1//mg', 1]];
			meds.splits!.push([5, 'external']);
		},
		count: 1,
		first: { file: splits, row: 4, subjectId: 5n, value: 'external' },
		also: ['subject-without-birth'],
	},
	'split-empty': {
		change: (meds) => {
			delete meds.data[tuning];
			meds.splits!.splice(2, 1);
		},
		count: 1,
		first: { file: splits, value: 'tuning' },
	},
	'subject-without-split': {
		change: (meds) => {
			meds.data['data/5.parquet'] = [[5, '2020-01-01', 'LAB//1//mg', 1]];
		},
		count: 1,
		first: { file: 'data/5.parquet', row: 0, subjectId: 5n },
		also: ['subject-without-birth'],
	},
	'subject-without-events': {
		change: (meds) => void meds.splits!.push([5, 'train']),
		count: 1,
		first: { file: splits, row: 4, subjectId: 5n, value: 'train' },
	},
};

t.test('a sound data set breaks no rule', async (t) => {
	const report = await validateMeds(await writeMeds(temporaryFolder(t), soundMeds()));
	t.match(report, {
		valid: true,
		strict: true,
		files: 3,
		events: 20,
		subjects: 4,
		codes: 4,
		findings: [],
		unchecked: [],
	});
	t.same(report.splits, { held_out: 1, train: 2, tuning: 1 });
});

t.test('every rule has a data set that breaks it', async (t) => {
	t.same(
		Object.keys(cases).sort(),
		validationRules()
			.map(({ name }) => name)
			.sort(),
	);
});

for (const [name, { change, spoil, count, first, also = [] }] of Object.entries(cases)) {
	t.test(`${name}: found, counted, and no other rule with it`, async (t) => {
		const meds = soundMeds();
		change?.(meds);
		const root = await writeMeds(temporaryFolder(t), meds);
		spoil?.(root);
		const report = await validateMeds(root);
		t.same(report.findings.map((finding) => finding.name).sort(), [name, ...also].sort());
		const finding = report.findings.find((one) => one.name === name)!;
		const rule = validationRules().find((one) => one.name === name)!;
		t.match(finding, { count, first, severity: rule.severity, basis: rule.basis });
		t.same(
			Object.keys(finding.first).filter((key) => !(key in first) && key !== 'value'),
			[],
		);
		t.equal(report.valid, rule.severity !== 'error' && also.length === 0 ? true : report.valid);
		if (rule.severity === 'error') t.notOk(report.valid);
		if (rule.basis === 'older-meds') t.notOk(report.strict);
	});
}

t.test('other forms of a broken file', async (t) => {
	const find = async (change: (meds: MedsFolder) => void, spoil: (root: string) => void = () => {}) => {
		const meds = soundMeds();
		change(meds);
		const root = await writeMeds(temporaryFolder(t), meds);
		spoil(root);
		return validateMeds(root);
	};
	for (const content of ['no JSON', 'null', '[]']) {
		const report = await find((meds) => {
			meds.dataset = content;
		});
		t.match(report.findings, [{ name: 'dataset-json', count: 1, first: { file: json } }], content);
	}
	const cut = await find(
		() => {},
		(root) => writeFileSync(join(root, tuning), readFileSync(join(root, tuning)).subarray(0, 200)),
	);
	t.match(cut.unchecked, [{ file: tuning, reason: /cannot be read/ }]);
	t.notOk(cut.valid);
	const noCode = await find(
		() => {},
		(root) => spoilText(root, tuning, 'LAB//1//mg'),
	);
	t.match(noCode.findings, [{ name: 'text-utf8', first: { file: tuning, column: 'code' } }]);
	t.match(noCode.unchecked, [{ file: tuning, reason: 'code is not UTF-8' }]);
	t.notMatch(
		JSON.stringify(noCode.findings.map(({ first }) => first.value)),
		/AB\/\/1/,
		'and the text is not repeated',
	);
	const badCodes = await find(
		() => {},
		(root) => writeFileSync(join(root, codes), 'no parquet file at all'),
	);
	t.match(badCodes.findings, [{ name: 'file-readable', first: { file: codes } }]);
	const gone = await find(
		() => {},
		(root) => rmSync(join(root, 'metadata'), { recursive: true }),
	);
	t.same(gone.findings.map(({ name }) => name).sort(), [
		'codes-missing',
		'dataset-json-missing',
		'subject-splits-missing',
	]);
	t.match(gone, { valid: true, strict: false });
});
