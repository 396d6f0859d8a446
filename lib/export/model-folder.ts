import { copyFile, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { filePath, parseConfig } from '../config.js';
import { requirePath } from '../files/path.js';
import { writeWholeFolder } from '../files/whole.js';
import { openPretrained, type PretrainedModel } from '../model/pretrained.js';
import { WorldModel } from '../model/world-model.js';
import type { StorageDtype } from '../native.js';
import { tokenizerFileNames } from '../tokenizer/tokenizer-files.js';
import { copyTensors } from './copy-tensors.js';
import { type ExportSummary, summaryOf, syncAll, writeJson } from './folder.js';
import { ShardSize, writeShards } from './shards.js';
import { tokenizerToCopy } from './tokenizer.js';

export const ModelFolderOptions = z.strictObject({
	/** dtype on disk; absent: that of each tensor in its file, whatever `config.json` says. */
	dtype: z.enum(['float32', 'float16', 'bfloat16']).optional(),
	maxShardSize: ShardSize.default(5e9),
	/** Folder whose tokenizer files take the place of those of the model's folder. */
	tokenizer: filePath.optional(),
});
export type ModelFolderOptions = z.input<typeof ModelFolderOptions>;

/** A weight file of whatever kind: the decoder's are written anew, others would hold another dtype or more than it. */
const weightFile = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx)$|\.index\.json$/;
/** What our own exports put beside the weights. */
const ownParts = new Set(['predictor.safetensors', 'target_encoder.safetensors']);

/**
 * Writes the decoder of a HuggingFace folder into a folder of its own: in other shards or another dtype, out of a wrapper.
 * Nothing else changes: every other key of `config.json`, every other file (generation config, tokenizer, card, predictor and
 * target encoder of our exports) is as it was, and without `dtype` every weight has the same bytes.
 *
 * @param directory - New or empty; appears whole or not at all.
 * @throws {ConfigError} {CheckpointError} {OutputError} {NativeError} The last for a weight that does not fit the dtype.
 */
export async function exportModelFolder(
	source: string,
	directory: string,
	options: ModelFolderOptions = {},
): Promise<ExportSummary> {
	requirePath('export', 'source', source);
	requirePath('export', 'directory', directory);
	const config = parseConfig('export', ModelFolderOptions, options);
	const pretrained = await openPretrained(source);
	const tokenizer = await tokenizerToCopy(config.tokenizer, pretrained.vocabSize);
	const { copied, left } = await otherFiles(source, tokenizer.length > 0);
	return writeWholeFolder(directory, async (folder) => {
		await writeJson(folder, 'config.json', configOf(pretrained, config.dtype));
		await writeWeights(pretrained, folder, config);
		for (const file of [...copied.map((name) => join(source, name)), ...tokenizer])
			await copyFile(file, join(folder, basename(file)));
		await syncAll(folder);
		const notes = [
			...pretrained.notes,
			...pretrained.unread.map(({ name, reason }) => `left out: tensor ${name} (${reason})`),
			...left.map((name) => `left out: ${name}`),
		];
		return summaryOf(directory, folder, notes);
	});
}

async function writeWeights(
	pretrained: PretrainedModel,
	folder: string,
	{ dtype, maxShardSize }: z.output<typeof ModelFolderOptions>,
): Promise<void> {
	const entries = new Map(pretrained.entries.map((entry) => [entry.name, entry]));
	if (dtype === undefined) {
		const bytes = new Map(pretrained.entries.map(({ name, begin, end }) => [name, end - begin]));
		await writeShards(folder, bytes, maxShardSize, (file, names) =>
			copyTensors(
				names.map((name) => entries.get(name)!),
				file,
			),
		);
		return;
	}
	// float32 holds every value of the other two; bfloat16 alone may stay as it is, at half the memory.
	const half = pretrained.entries.every((entry) => entry.dtype === 'bfloat16');
	const model = await WorldModel.fromPretrained(pretrained.directory, {
		parameterDtype: half ? 'bfloat16' : 'float32',
		placement: 'mapped',
		device: 'cpu',
	});
	try {
		const width = dtype === 'float32' ? 4 : 2;
		const bytes = new Map(
			pretrained.entries.map(({ name, shape }) => [name, shape.reduce((product, length) => product * length, width)]),
		);
		await writeShards(folder, bytes, maxShardSize, (file, names) => model.save('encoder', file, { dtype, names }));
	} finally {
		await model.close();
	}
}

/** The decoder's own keys as they were, out of a wrapper, with what is now true of the files. */
function configOf({ config, vocabSize }: PretrainedModel, dtype: StorageDtype | undefined): Record<string, unknown> {
	const { transformers_weights: _, ...kept } = config.decoder;
	const { dtype: own, torch_dtype: __, ...withoutDtype } = kept;
	const spelling = own !== undefined && own !== null ? 'dtype' : 'torch_dtype';
	const keys = dtype === undefined ? kept : withoutDtype;
	return {
		...keys,
		...(config.isWrapped
			? {
					model_type: 'qwen3',
					architectures: ['Qwen3ForCausalLM'],
					tie_word_embeddings: config.shape.tieWordEmbeddings,
				}
			: {}),
		...(vocabSize === config.vocabSize ? {} : { vocab_size: vocabSize }),
		...(dtype === undefined ? {} : { [spelling]: dtype }),
	};
}

async function otherFiles(source: string, otherTokenizer: boolean) {
	const copied: string[] = [];
	const left: string[] = [];
	const tokenizerFiles = new Set<string>(tokenizerFileNames);
	for (const entry of await readdir(source, { withFileTypes: true })) {
		const { name } = entry;
		if (name.startsWith('.') || name === 'config.json') continue;
		if (otherTokenizer && tokenizerFiles.has(name)) continue;
		if (/^model(-\d+-of-\d+|-\d+)?\.safetensors(\.index\.json)?$/.test(name)) continue;
		const isFile = entry.isFile() || (entry.isSymbolicLink() && (await isReadable(join(source, name))));
		if (isFile && (ownParts.has(name) || !weightFile.test(name))) copied.push(name);
		else left.push(isFile ? name : `${name}/`);
	}
	return { copied: copied.sort(), left: left.sort() };
}

async function isReadable(file: string): Promise<boolean> {
	return readFile(file).then(
		() => true,
		() => false,
	);
}
