import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256, sha256OfFile } from '../files/hash.js';
import { readStoreManifest } from '../store/manifest.js';
import type { OpenedModel } from './open-any-model.js';

/** All that decides scores, for processes that share them. Weights of a HuggingFace folder are told apart by the sizes of its files. */
export async function scoreKey(
	args: {
		readonly model: string;
		readonly tokens?: string | undefined;
		readonly store?: string | undefined;
		readonly split: string;
		readonly window?: number | undefined;
		readonly hidden: boolean;
		readonly dtype: string;
	},
	{ run, step }: OpenedModel,
) {
	const { model, tokens, store, split, window, hidden, dtype } = args;
	return {
		run: run === undefined ? null : sha256(JSON.stringify(run)),
		step: step ?? null,
		folder: run === undefined ? await sizesOf(model) : null,
		tokens: tokens === undefined ? null : await sha256OfFile(tokens),
		store: store === undefined ? null : (await readStoreManifest(store)).fingerprint,
		split,
		window: window ?? null,
		hidden,
		dtype,
	};
}

async function sizesOf(folder: string): Promise<Record<string, number>> {
	const names = (await readdir(folder)).filter((name) => /\.(safetensors|json)$/.test(name)).sort();
	return Object.fromEntries(
		await Promise.all(names.map(async (name) => [name, (await stat(join(folder, name))).size] as const)),
	);
}
