import { join } from 'node:path';
import { latentsFolder } from '../cohort/latent-writer.js';
import type { MedsDataset } from '../data/meds.js';
import { type LatentTargets, readLatents } from '../evaluate/latent-state.js';
import { tooFewPatients } from '../evaluate/probe.js';
import type { TokenStore } from '../store/token-store.js';
import {
	type IndexDateRow,
	type LabelRow,
	readIndexDates,
	readLabels,
	readTaskList,
	sampleKey,
	type TaskListEntry,
} from '../tasks/read.js';
import type { Split } from '../types.js';

/** Samples of one task and horizon. */
export interface TaskSamples {
	readonly task: TaskListEntry;
	readonly labels: Readonly<Record<Split, readonly LabelRow[]>>;
	/** Why the held-out samples cannot carry a metric. */
	readonly tooFew: string | undefined;
}

/** What every model of a study is read on: the same samples, so that differences are paired. */
export interface StudySamples {
	readonly indexDates: readonly IndexDateRow[];
	readonly tasks: readonly TaskSamples[];
	/** True latent states now and ahead. */
	readonly latents: readonly LatentTargets[];
}

/** What every piece of a study's work reads. */
export interface StudyData {
	readonly dataset: MedsDataset;
	readonly store: TokenStore;
	readonly samples: StudySamples;
}

/** @throws {DataError} {ConfigError} */
export async function readSamples(meds: string, tasks: string): Promise<StudySamples> {
	const indexDates = await readIndexDates(tasks);
	const splitOf = new Map(indexDates.map((row) => [sampleKey(row), row.split]));
	const read: TaskSamples[] = [];
	for (const task of (await readTaskList(tasks)).tasks) {
		const labels: Record<Split, LabelRow[]> = { train: [], tuning: [], held_out: [] };
		for (const label of await readLabels(join(tasks, task.directory))) {
			const split = splitOf.get(sampleKey(label));
			if (split !== undefined) labels[split].push(label);
		}
		read.push({ task, labels, tooFew: tooFewPatients(labels.held_out) });
	}
	return { indexDates, tasks: read, latents: await readLatents(join(meds, latentsFolder), indexDates) };
}
