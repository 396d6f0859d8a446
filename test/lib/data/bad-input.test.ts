import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventsSql, type MedsDataset, openMeds } from '../../../lib/data/meds.js';
import { withDatabase } from '../../../lib/data/query.js';
import { validateMeds } from '../../../lib/data/validate.js';
import { prepareStore } from '../../../lib/prepare/prepare.js';
import { type MedsFolder, type Row, soundMeds, writeMeds } from '../../fixtures/meds-folder.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

t.setTimeout(600_000);

const train = 'data/train/0.parquet';
const tuning = 'data/tuning/0.parquet';
const heldOut = 'data/held_out/0.parquet';
const medsColumns = 's::BIGINT AS subject_id, t::TIMESTAMP AS time, c::VARCHAR AS code';

async function written(t: Parameters<typeof temporaryFolder>[0], change: (meds: MedsFolder) => void): Promise<string> {
	const meds = soundMeds();
	change(meds);
	return writeMeds(temporaryFolder(t), meds);
}
const insert = (meds: MedsFolder, file: string, at: number, ...rows: Row[]) => meds.data[file]!.splice(at, 0, ...rows);

type EventRow = readonly [subject: bigint, time: bigint | null, code: string, value: number | null];

/** subject_id, time in microseconds, code, value of every event of every split, as they are read. */
async function eventsOf(dataset: MedsDataset): Promise<EventRow[]> {
	return withDatabase({ threads: 1 }, async (database) => {
		const rows = await database.rows(
			`SELECT subject_id, time, code, value::DOUBLE AS value FROM (${eventsSql(dataset)})
			ORDER BY subject_id, time NULLS FIRST, filename, file_row_number`,
		);
		const subjects = new Set(Object.values(dataset.subjects).flat());
		return rows
			.map(({ subject_id, time, code, value }) => [subject_id, time, code, value] as unknown as EventRow)
			.filter(([subject]) => subjects.has(subject));
	});
}

/** The reader refuses, and `validate` calls it an error too: who validates first has no surprise later. */
async function refused(t: Parameters<typeof temporaryFolder>[0], message: RegExp, change: (meds: MedsFolder) => void) {
	const root = await written(t, change);
	await t.rejects(openMeds(root), { code: 'EHR_JEPA_DATA', message });
	t.notOk((await validateMeds(root)).valid, 'validate refuses it too');
}

/** The reader opens and says so. */
async function noted(t: Parameters<typeof temporaryFolder>[0], note: RegExp, change: (meds: MedsFolder) => void) {
	const root = await written(t, change);
	const dataset = await openMeds(root);
	t.match(dataset.notes.join('\n'), note);
	t.ok((await validateMeds(root)).valid, 'validate lets it pass');
	return dataset;
}

t.test('sound data open without a note, and what validate passes opens', async (t) => {
	const dataset = await openMeds(await written(t, () => {}));
	t.same(dataset.notes, []);
	t.match(dataset, { events: 20, name: 'sound', etl: { name: 'test', version: '1' } });
	t.same(dataset.subjects, { train: [1n, 2n], tuning: [3n], held_out: [4n] });
	t.equal((await eventsOf(dataset)).length, 20);
});

t.test('older names and types read as MEDS 0.4 does, file by file', async (t) => {
	const sound = await eventsOf(await openMeds(await written(t, () => {})));
	const root = await written(t, (meds) => {
		meds.select[train] =
			's::INTEGER AS patient_id, t::TIMESTAMP_NS AS timestamp, c::VARCHAR AS code, v::DOUBLE AS numerical_value, t::VARCHAR AS "t 2"';
		meds.select[tuning] =
			`s::BIGINT AS subject_id, t::TIMESTAMP_MS AS time, c::ENUM('GENDER//F', 'MEDS_BIRTH', 'LAB//1//mg', 'MEDS_DEATH') AS code, v::INTEGER AS numeric_value`;
		meds.select[heldOut] =
			"s::SMALLINT AS subject_id, (t::TIMESTAMP AT TIME ZONE 'UTC') AS time, c::VARCHAR AS code, v::DECIMAL(9, 3) AS numeric_value";
		meds.codes = undefined;
	});
	const dataset = await openMeds(root);
	t.equal(dataset.layouts.length, 3);
	t.same(await eventsOf(dataset), sound);
	t.match(dataset.notes, [
		/has another type than in MEDS 0\.4; it is read all the same \(\d columns; first data\/held_out/,
		/name of before MEDS 0\.4.*3 columns/,
	]);
	const store = await prepareStore(root, join(temporaryFolder(t), 'store'), {
		tokens: { kind: 'structured', minPatients: 1 },
	});
	t.equal(store.coverage.events, 20, 'and the token store is made of it');
	t.match(store.notes, dataset.notes);
});

t.test('a name of before 0.4 beside that of 0.4 is a further column, whatever it holds', async (t) => {
	const dataset = await openMeds(
		await written(t, (meds) => {
			meds.select[tuning] = `${medsColumns}, v::FLOAT AS numeric_value, 'x' AS timestamp, 99 AS patient_id`;
		}),
	);
	t.match((await eventsOf(dataset)).filter(([subject]) => subject === 3n).length, 5);
});

t.test('time zones are read as UTC, whatever the zone of the machine', async (t) => {
	const before = process.env.TZ;
	process.env.TZ = 'America/New_York';
	t.teardown(() => {
		if (before === undefined) delete process.env.TZ;
		else process.env.TZ = before;
	});
	const dataset = await noted(t, /timestamp\[us, tz=UTC\] instead of timestamp\[us\]/, (meds) => {
		meds.data[tuning] = [[3, '2020-01-01 02:00:00+02', 'LAB//1//mg', 1]];
		meds.select[tuning] =
			's::BIGINT AS subject_id, t::TIMESTAMPTZ AS time, c::VARCHAR AS code, v::FLOAT AS numeric_value';
	});
	const zoned = (await eventsOf(dataset)).find(([subject]) => subject === 3n);
	t.equal(zoned?.[1], BigInt(Date.UTC(2020, 0, 1)) * 1000n);
});

t.test('numeric_value may be absent, or null in every row', async (t) => {
	const absent = await noted(t, /numeric_value is null in every row: the model sees codes only/, (meds) => {
		for (const name of Object.keys(meds.data)) meds.select[name] = medsColumns;
	});
	t.ok((await eventsOf(absent)).every(([, , , value]) => value === null));
	await noted(t, /numeric_value is null in every row/, (meds) => {
		for (const name of Object.keys(meds.data)) meds.select[name] = `${medsColumns}, NULL::FLOAT AS numeric_value`;
	});
	const some = await openMeds(
		await written(t, (meds) => {
			meds.select[tuning] = medsColumns;
		}),
	);
	t.equal((await eventsOf(some)).filter(([, , , value]) => value !== null).length, 6, 'absent in one file only');
});

t.test('text, unit and table are there for whoever asks, null where a file has none', async (t) => {
	const dataset = await openMeds(
		await written(t, (meds) => {
			meds.select[tuning] =
				`${medsColumns}, v::FLOAT AS numeric_value, 'free' AS text_value, 'mg' AS unit, 'lab' AS "table"`;
		}),
	);
	const rows = await withDatabase({}, (database) =>
		database.rows(
			`SELECT subject_id, text_value, unit, "table", count(*)::INTEGER AS n FROM (${eventsSql(dataset, ['text_value', 'unit', 'table'])})
			GROUP BY ALL ORDER BY subject_id`,
		),
	);
	t.same(rows[2], { subject_id: 3n, text_value: 'free', unit: 'mg', table: 'lab', n: 5 });
	t.same(rows[3], { subject_id: 4n, text_value: null, unit: null, table: null, n: 5 });
});

t.test('nested shards; folders that are called as files', async (t) => {
	const dataset = await openMeds(
		await written(t, (meds) => {
			meds.data['data/train/deep/part.parquet/0.parquet'] = meds.data[tuning]!;
			delete meds.data[tuning];
			meds.splits![2] = [3, 'train'];
		}),
	);
	t.match(dataset, { events: 20, subjects: { train: [1n, 2n, 3n] } });
});

t.test('subject_id: beyond 2^53 exact, negative counted, null refused', async (t) => {
	const big = 2n ** 63n - 1n;
	const dataset = await noted(t, /2 rows have a negative subject_id/, (meds) => {
		meds.data[tuning] = [
			[-3, '2020-01-01', 'LAB//1//mg', 1],
			[-3, '2020-01-02', 'LAB//1//mg', 1],
			[big - 1n, '2020-01-01', 'LAB//1//mg', 1],
			[big, '2020-01-01', 'LAB//1//mg', 1],
		];
		meds.splits = undefined;
	});
	const subjects = Object.values(dataset.subjects).flat();
	t.ok([-3n, big, big - 1n].every((id) => subjects.includes(id)));
	await refused(t, /data\/tuning\/0\.parquet: column subject_id must not be null but found 1 nulls/, (meds) =>
		insert(meds, tuning, 0, [null, null, 'GENDER//F']),
	);
});

t.test(
	'times: after 2255 exact, before 1970, before birth and after death read as they are, infinite refused',
	async (t) => {
		const dataset = await openMeds(
			await written(t, (meds) => {
				meds.data[tuning] = [
					[3, '1899-12-31 23:59:59.999999', 'LAB//1//mg', 1],
					[3, '1960-01-01', 'MEDS_BIRTH'],
					[3, '2020-01-01', 'MEDS_DEATH'],
					[3, '2299-12-31 23:59:59.999999', 'LAB//1//mg', 2],
				];
			}),
		);
		const rows = (await eventsOf(dataset)).filter(([subject]) => subject === 3n);
		t.equal(rows[0]![1], BigInt(Date.UTC(1900, 0, 1)) * 1000n - 1n);
		t.equal(rows[3]![1], BigInt(Date.UTC(2300, 0, 1)) * 1000n - 1n);
		await refused(t, /column time must be finite but found 1 infinite times; write null/, (meds) =>
			insert(meds, tuning, 5, [3, 'infinity', 'LAB//1//mg', 1]),
		);
		await refused(t, /column time must not go backwards within a subject but found subject 3 at row 5/, (meds) =>
			insert(meds, tuning, 4, [3, null, 'GENDER//F'], [3, '2020-01-01', 'LAB//1//mg', 1]),
		);
	},
);

t.test('values: NaN and infinite are null and counted, beyond float32 refused', async (t) => {
	const dataset = await noted(t, /3 values are NaN or infinite and are read as null/, (meds) =>
		insert(
			meds,
			tuning,
			2,
			[3, '1990-01-01', 'LAB//1//mg', Number.NaN],
			[3, '1990-01-02', 'LAB//1//mg', Infinity],
			[3, '1990-01-03', 'LAB//1//mg', -Infinity],
		),
	);
	t.equal((await eventsOf(dataset)).filter(([, , , value]) => value !== null).length, 8);
	await refused(t, /column numeric_value must fit a 32-bit float but found 1 larger values/, (meds) => {
		insert(meds, tuning, 2, [3, '1990-01-01', 'LAB//1//mg', '1e39']);
		meds.select[tuning] = `${medsColumns}, v::DOUBLE AS numeric_value`;
	});
});

t.test('codes: 10,000 characters are kept and said, null refused', async (t) => {
	const long = 'C'.repeat(10_000);
	const dataset = await noted(t, /the longest code has 10000 characters/, (meds) => {
		insert(meds, tuning, 2, [3, '1990-01-01', long]);
		meds.codes!.push([long, 'long']);
	});
	t.ok((await eventsOf(dataset)).some(([, , code]) => code === long));
	await refused(t, /column code must not be null/, (meds) => insert(meds, tuning, 2, [3, '1990-01-01', null]));
});

t.test('text that is not UTF-8: refused, and the text is not repeated', async (t) => {
	const root = await written(t, () => {});
	const bytes = readFileSync(join(root, tuning));
	for (let at = bytes.indexOf('LAB//1//mg'); at >= 0; at = bytes.indexOf('LAB//1//mg', at + 1)) bytes[at] = 0xff;
	writeFileSync(join(root, tuning), bytes);
	const error = await openMeds(root).then(
		() => undefined,
		(cause: Error) => cause,
	);
	t.match(error, { code: 'EHR_JEPA_DATA', message: /tuning\/0\.parquet: must hold text in UTF-8/ });
	t.notMatch(`${error?.message} ${error?.cause}`, /AB\/\//);
});

t.test('duplicated rows are kept: MEDS allows them, validate counts them', async (t) => {
	const root = await written(t, (meds) => insert(meds, tuning, 3, [3, '2020-01-01 08:00:00', 'LAB//1//mg', 3]));
	t.equal((await openMeds(root)).events, 21);
	t.match((await validateMeds(root)).findings, [{ name: 'duplicate-row', count: 1 }]);
});

t.test('splits: an empty one is said, a held-out subject in data/train refused, others counted', async (t) => {
	const without = (meds: MedsFolder) => {
		delete meds.data[tuning];
		meds.splits!.splice(2, 1);
	};
	await noted(t, /split tuning has no subject with events/, without);
	await refused(
		t,
		/data\/train: must not hold subjects that .* but found 1 of them, first subject 2; move the subjects, or correct their split/,
		(meds) => {
			meds.splits![1] = [2, 'held_out'];
		},
	);
	await noted(t, /1 subjects lie in the folder of another split/, (meds) => {
		meds.splits![1] = [2, 'tuning'];
	});
	const other = await noted(
		t,
		/1 subjects with events are in split "external", which is none of train, tuning, held_out, and are left out/,
		(meds) => {
			meds.splits![2] = [3, 'external'];
		},
	);
	t.same(Object.values(other.subjects).flat(), [1n, 2n, 4n]);
	await noted(t, /1 subjects with events are in no split and are left out/, (meds) => void meds.splits!.splice(2, 1));
	await noted(
		t,
		/1 subjects of metadata\/subject_splits\.parquet have no events/,
		(meds) => void meds.splits!.push([9, 'train']),
	);
	await refused(t, /must not hold nulls but found 1 rows/, (meds) => void meds.splits!.push([null, 'train']));
	await refused(
		t,
		/column subject_id must be unique but found subject 1 in several rows/,
		(meds) => void meds.splits!.push([1, 'train']),
	);
	await refused(t, /rule column-extra/, (meds) => {
		meds.select['metadata/subject_splits.parquet'] = "a::BIGINT AS subject_id, b::VARCHAR AS split, 'x' AS site";
	});
});

t.test('columns: a column called value, wrong types and missing columns are refused', async (t) => {
	await refused(t, /column value .*must be called numeric_value.*rename the column/, (meds) => {
		meds.select[tuning] = `${medsColumns}, v::FLOAT AS value`;
	});
	await refused(t, /column subject_id .*column-type.* but found string instead of int64/, (meds) => {
		meds.select[tuning] = 's::VARCHAR AS subject_id, t::TIMESTAMP AS time, c::VARCHAR AS code';
	});
	await refused(t, /column time .*column-type.* but found string/, (meds) => {
		meds.select[tuning] = 's::BIGINT AS subject_id, t::VARCHAR AS time, c::VARCHAR AS code';
	});
	await refused(t, /column code .*column-missing.* but found columns subject_id, time/, (meds) => {
		meds.select[tuning] = 's::BIGINT AS subject_id, t::TIMESTAMP AS time';
	});
});

t.test('metadata/dataset.json that is none is refused', async (t) => {
	for (const dataset of ['no JSON', 'null', '[]', { dataset_name: 7 }]) {
		await refused(t, /metadata\/dataset\.json.*dataset-json/, (meds) => {
			meds.dataset = dataset;
		});
	}
});

t.test('a shard that goes away while the data are read is an error', async (t) => {
	const root = await written(t, () => {});
	const dataset = await openMeds(root);
	rmSync(join(root, tuning));
	await t.rejects(eventsOf(dataset), { code: 'EHR_JEPA_DATA', message: /must be a (readable )?file/ });
});

t.test('opening reports progress and stops when it is told to', async (t) => {
	const root = await written(t, () => {});
	const seen: number[] = [];
	await openMeds(root, { onProgress: ({ done, total }) => seen.push(done / total!) });
	t.same(seen, [0, 1 / 3, 2 / 3]);
	await t.rejects(openMeds(root, { signal: AbortSignal.abort() }), { code: 'ABORT_ERR' });
	mkdirSync(join(root, 'data', 'empty'));
	t.equal((await openMeds(root)).events, 20, 'an empty folder is none of its business');
});
