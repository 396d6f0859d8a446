/** The stages of bench/loading.ts: each does its work in a process of its own and tells what it took. */
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync } from 'node:fs';
import { exportHuggingFace } from '../../lib/export/huggingface.js';
import { openPretrained } from '../../lib/model/pretrained.js';
import { modelSizes, Qwen3Shape } from '../../lib/model/qwen3-config.js';
import { WorldModel } from '../../lib/model/world-model.js';
import { nativeAddon, type Placement } from '../../lib/native.js';
import { pack } from '../../lib/sample/packing.js';

export interface Measured {
	readonly seconds: number;
	readonly peakMiB: number;
	readonly note: string;
}

interface Input {
	readonly model: string;
	readonly out: string;
	readonly size: keyof typeof modelSizes;
	readonly vocabSize: number;
	readonly tokens: number;
}

/** What a stage made; `seconds` where only a part of it is timed. */
interface Done {
	readonly note: string;
	readonly seconds?: number;
}

const bfloat16 = { parameterDtype: 'bfloat16', computeDtype: 'bfloat16' } as const;

/** SHA-256 of each tensor's bytes. */
async function tensorHashes(folder: string): Promise<Map<string, string>> {
	const result = new Map<string, string>();
	for (const { name, path, begin, end } of (await openPretrained(folder)).entries) {
		const hash = createHash('sha256');
		// The last byte of a range of a stream is part of it.
		for await (const chunk of createReadStream(path, { start: begin, end: end - 1, highWaterMark: 1 << 22 }))
			hash.update(chunk as Buffer);
		result.set(name, hash.digest('hex'));
	}
	return result;
}

async function timed<T>(work: () => Promise<T>): Promise<[result: T, seconds: number]> {
	const started = performance.now();
	const result = await work();
	return [result, (performance.now() - started) / 1000];
}

/** Opens a model three times, each closed before the next. @returns The median of the seconds. */
async function opened(folder: string, placement: Placement): Promise<number> {
	// The library is loaded once per process, whatever the model.
	nativeAddon();
	const seconds: number[] = [];
	for (let round = 0; round < 3; round++) {
		const [model, took] = await timed(() => WorldModel.fromPretrained(folder, { ...bfloat16, placement }));
		await model.close();
		seconds.push(took);
	}
	return seconds.sort((a, b) => a - b)[1]!;
}

export const stages = {
	async write({ model: folder, size, vocabSize }: Input): Promise<Done> {
		const shape = Qwen3Shape.parse({ ...modelSizes[size], tieWordEmbeddings: true });
		const model = new WorldModel({ shape, vocabSize, maskTokenId: null, seed: 1, ...bfloat16 });
		const { bytes, tensors } = await exportHuggingFace(model, folder);
		await model.close();
		return { note: `${tensors} tensors, ${(bytes / 1e9).toFixed(2)} GB` };
	},
	async mapped({ model: folder }: Input): Promise<Done> {
		return { note: 'a usable model on the pages of the file', seconds: await opened(folder, 'mapped') };
	},
	async owned({ model: folder }: Input): Promise<Done> {
		return { note: 'bfloat16 tensors of its own', seconds: await opened(folder, 'owned') };
	},
	async forward({ model: folder, tokens, vocabSize }: Input): Promise<Done> {
		const model = await WorldModel.fromPretrained(folder, { ...bfloat16, placement: 'mapped' });
		const batch = pack([Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % vocabSize)]);
		const [{ logProbabilities }, seconds] = await timed(() => model.score(batch));
		await model.close();
		const mean = logProbabilities.reduce((sum, value) => sum + value, 0) / logProbabilities.length;
		if (!Number.isFinite(mean) || mean > -1) throw new Error(`[bench] random weights predict with ${mean} nats`);
		return {
			note: `${tokens} tokens, ${mean.toFixed(2)} nats each; ln(vocabulary) is ${Math.log(vocabSize).toFixed(2)}`,
			seconds,
		};
	},
	async export({ model: folder, out }: Input): Promise<Done> {
		const model = await WorldModel.fromPretrained(folder, { ...bfloat16, placement: 'mapped' });
		const [{ files }, seconds] = await timed(() => exportHuggingFace(model, out, { maxShardSize: '2GB' }));
		await model.close();
		return { note: `${files.filter(({ name }) => name.endsWith('.safetensors')).length} shards`, seconds };
	},
	async reload({ model: folder, out }: Input): Promise<Done> {
		const [model, seconds] = await timed(() => WorldModel.fromPretrained(out, bfloat16));
		await model.close();
		const [before, after] = [await tensorHashes(folder), await tensorHashes(out)];
		const equal = [...before].filter(([name, hash]) => after.get(name) === hash).length;
		if (equal !== before.size || after.size !== before.size)
			throw new Error(`[bench] ${equal} of ${before.size} tensors came back`);
		return {
			note: `from ${readdirSync(out).filter((name) => name.endsWith('.safetensors')).length} shards, ${equal} of ${before.size} tensors equal byte for byte`,
			seconds,
		};
	},
} as const;
export type Stage = keyof typeof stages;

const asked = process.env.EHR_JEPA_BENCH_STAGE;
if (asked !== undefined) {
	const { stage, input } = JSON.parse(asked) as { stage: Stage; input: Input };
	const [{ note, seconds }, whole] = await timed(() => stages[stage](input));
	const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
	process.send?.({ note, seconds: seconds ?? whole, peakMiB } satisfies Measured);
	process.disconnect?.();
}
