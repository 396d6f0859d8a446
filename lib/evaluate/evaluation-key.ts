import type { MedsDataset } from '../data/meds.js';
import { sha256, sha256OfFile } from '../files/hash.js';
import type { StoreManifest } from '../store/manifest.js';
import type { TaskList } from '../tasks/read.js';

/** All that decides an evaluation, with fingerprints of the files that it reads: for processes that share it. */
export async function evaluationKey(
	config: {
		readonly models: readonly {
			readonly name: string;
			readonly embeddings: string;
			readonly rollout?: string | undefined;
		}[];
		readonly predictions?: string | undefined;
		readonly trainingSizes?: object | undefined;
		readonly draws: number;
		readonly seed: number;
		readonly subgroups: readonly string[];
		readonly timeToEventProbe: string;
	},
	dataset: MedsDataset,
	store: StoreManifest | undefined,
	tasks: TaskList,
) {
	const { draws, seed, subgroups, timeToEventProbe, trainingSizes = null } = config;
	const models = config.models.map(async ({ name, embeddings, rollout }) => ({
		name,
		embeddings: await sha256OfFile(embeddings),
		rollout: rollout === undefined ? null : await sha256OfFile(rollout),
	}));
	return {
		draws,
		seed,
		subgroups,
		timeToEventProbe,
		trainingSizes,
		predictions: config.predictions !== undefined,
		models: await Promise.all(models),
		data: dataset.fingerprint,
		store: store?.fingerprint ?? null,
		tasks: sha256(JSON.stringify(tasks)),
	};
}
