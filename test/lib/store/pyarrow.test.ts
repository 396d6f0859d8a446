import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, prepareStore } from '../../../lib/index.js';
import { splits } from '../../../lib/types.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../../fixtures/tiny-meds.js';

const pyarrow = spawnSync('python3', ['-c', 'import pyarrow']).status === 0;

/** Writes every Arrow file of a store again, batch by batch, and prints the number of patients and tokens. */
const rewrite = `
import glob, pyarrow as pa, sys
patients = tokens = 0
for path in sorted(glob.glob(sys.argv[1] + '/**/*.arrow', recursive=True)):
    reader = pa.ipc.open_file(path)
    batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    for batch in batches:
        batch.validate(full=True)
        if 'static_tokens' in batch.schema.names:
            patients += batch.num_rows
            tokens += len(batch.column('tokens').flatten())
    schema = reader.schema
    batches = [pa.RecordBatch.from_pylist(b.to_pylist(), schema=schema) for b in batches]
    with pa.OSFile(path, 'wb') as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches: writer.write_batch(batch)
print(patients, tokens)
`;

t.test(
	'pyarrow reads a store, and what it writes is a store',
	{ skip: pyarrow ? false : 'pyarrow is not installed' },
	async (t) => {
		const folder = temporaryFolder(t);
		const subjects = [1, 2, 3, 4, 5, 6];
		const meds = await writeTinyMeds(
			join(folder, 'meds'),
			{ '0.parquet': subjects.flatMap((subject) => tinyPatient(subject, [1, 4, 9])) },
			Object.fromEntries(subjects.map((subject) => [subject, subject > 4 ? 'held_out' : 'train'])),
		);
		await prepareStore(meds, join(folder, 'ours'), { tokens: { kind: 'structured', minPatients: 1 } });
		cpSync(join(folder, 'ours'), join(folder, 'theirs'), { recursive: true });
		const { stdout, stderr } = spawnSync('python3', ['-c', rewrite, join(folder, 'theirs')], { encoding: 'utf8' });
		const [ours, theirs] = [await openTokenStore(join(folder, 'ours')), await openTokenStore(join(folder, 'theirs'))];
		const tokens = splits.reduce((sum, split) => sum + ours.manifest.splits[split].tokens, 0);
		t.equal(stdout.trim(), `${subjects.length} ${tokens}`, stderr);
		for (const split of splits) {
			t.equal(theirs.split(split).size, ours.split(split).size);
			for (let patient = 0; patient < ours.split(split).size; patient++)
				t.same(await theirs.split(split).timeline(patient), await ours.split(split).timeline(patient));
		}
		await ours.close();
		await theirs.close();
	},
);
