/** A thread of tokenizer-pool.ts: texts in, their ids out. */
import { parentPort, workerData } from 'node:worker_threads';
import { IdBuffer } from './id-buffer.js';
import { QwenTokenizer } from './qwen-tokenizer.js';
import type { EncodedBatch, TokenizerWorkerData } from './tokenizer-pool.js';

const { directory, contents } = workerData as TokenizerWorkerData;
const tokenizer = new QwenTokenizer(
	{
		directory,
		contents: new Map(contents.map(([name, memory]) => [name, Buffer.from(memory)])),
	},
	{ checked: true },
);
const ids = new IdBuffer();

parentPort?.on('message', (texts: readonly string[]) => {
	const lengths = new Int32Array(texts.length);
	for (const [i, text] of texts.entries()) {
		const encoded = tokenizer.encode(text);
		lengths[i] = encoded.length;
		ids.append(encoded);
	}
	const batch: EncodedBatch = { ids: ids.take(), lengths };
	parentPort?.postMessage(batch, [batch.ids.buffer as ArrayBuffer, lengths.buffer]);
});
