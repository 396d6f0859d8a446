import type { MetricsLine } from '../train/metrics.js';
import { type RunConfig, updatesOf } from '../train/run-config.js';

function trainedParts(trainable: RunConfig['train']['trainable']): string {
	if (trainable.kind === 'lora') {
		return `LoRA of rank ${trainable.rank}, alpha ${trainable.alpha}, dropout ${trainable.dropout} on ${trainable.targets.join(', ')}`;
	}
	return trainable.freeze.length === 0 ? 'all weights' : `all weights but ${trainable.freeze.join(', ')}`;
}

/**
 * README.md of an exported run: what it is, what it was trained on and how, and what it reached.
 *
 * @param input - What the token store holds, where it is known.
 */
export function modelCard(
	run: RunConfig,
	step: number,
	metrics: readonly MetricsLine[],
	input?: 'structured' | 'text',
): string {
	const { train, data } = run;
	const tuning = metrics.filter((line) => line.kind === 'tuning').findLast((line) => line.step <= step);
	const tokens = metrics.reduce((sum, line) => sum + (line.kind === 'train' && line.step <= step ? line.tokens : 0), 0);
	const shown = (value: number | null | undefined) =>
		value === null || value === undefined ? 'not used' : value.toFixed(4);
	const { nextToken, latent } = train.objective;
	const objectives = [
		nextToken === null ? undefined : `next-token loss (weight ${nextToken.weight}, on ${nextToken.on} tokens)`,
		latent === null
			? undefined
			: `latent loss (weight ${latent.weight}, ${latent.loss.kind}, ${latent.branch.kind} branch, ${latent.target.kind} target), ${train.objective.schedule.kind}`,
	].filter((text) => text !== undefined);
	return `---
library_name: transformers
tags: [ehr, meds, world-model, jepa, qwen3]
---

# Patient world model

A Qwen3 decoder trained on structured health records by ehr-jepa ${run.package}, a re-implementation of SMB-Structure
(arXiv 2601.22128) from the abstract, the released inference code and secondary notes. Its input ${input === 'text' ? 'is\nserialised text (vocabulary.json says how it is written) in the tokens of the tokenizer beside the weights.' : 'are token ids of the\nvocabulary named below, not text.'} It has learned from individual records: share it as those records may be shared.

| | |
| --- | --- |
| objective | ${objectives.join('; ')} |
| updates | ${step} of ${updatesOf(run)}, ${tokens.toLocaleString('en-US')} tokens, seed ${train.seed}, ${train.computeDtype} |
| trained | ${trainedParts(train.trainable)} |
| shape | ${train.model.numHiddenLayers} layers of ${train.model.hiddenSize}, ${train.model.numAttentionHeads} heads (${train.model.numKeyValueHeads} key/value) of ${train.model.headDim} |
| windows | ${train.contextTokens} context and ${train.futureTokens} future tokens |
| token store | fingerprint \`${data.store}\` |
| vocabulary | ${data.vocabSize} tokens, mask token ${data.maskTokenId ?? 'none'}, fingerprint \`${data.vocabulary}\` |
| next-token loss, tuning patients | ${shown(tuning?.nextTokenLoss)} |
| latent loss, tuning patients | ${shown(tuning?.latentLoss)}${tuning?.collapse === undefined ? '' : ` (batch mean ${shown(tuning.collapse.batchMeanLoss)}, last context state ${shown(tuning.collapse.copyContextLoss)})`} |
| made with | libtorch ${run.torch} |
`;
}
