/**
 * Writes the records that convergence.test.ts compares with: `node dist/test/convergence/record.js`, after a change that
 * is meant to change numbers. The commit says which and why.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { trainingCases } from './cases.js';
import { type ConvergenceRecord, environment, FixedData, type TrainingRecord } from './fixed-run.js';
import { recordFile } from './record-file.js';

const folder = await mkdtemp(join(tmpdir(), 'ehr-jepa-convergence-'));
try {
	const data = await FixedData.create(folder);
	const training: Record<string, TrainingRecord> = {};
	for (const each of trainingCases) training[each.name] = await data.train(each);
	const record: ConvergenceRecord = { environment: environment(), files: await data.files(), training };
	await data.close();
	await writeFile(recordFile, `${JSON.stringify(record, undefined, '\t')}\n`);
	console.log(`${recordFile}: ${trainingCases.length} training cases`);
} finally {
	await rm(folder, { recursive: true, force: true });
}
