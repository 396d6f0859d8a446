/**
 * `npm run bench -- train-step`: what does the latent objective cost on top of an SFT-only step? With `--peers`: how many
 * times as fast is a step of ours as the straightforward PyTorch implementation's?
 */
import { writeFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { againstPeers } from './train-step/against-peers.js';
import { compareObjectives } from './train-step/objectives.js';
import { peerModes } from './train-step/peer.js';
import { type BenchShapeName, benchShapes } from './train-step/shapes.js';

const shapes = Object.keys(benchShapes) as BenchShapeName[];
const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- train-step')
	.option('json', { type: 'string', describe: 'File for the rows' })
	.option('steps', { type: 'number', describe: 'Timed steps of a process; 3, with --peers 5' })
	.option('rounds', { type: 'number', describe: 'Processes of each variant; 3, with --peers 1' })
	.option('layers', { type: 'number', default: 2, describe: 'Layers of the shape of Qwen3-1.7B' })
	.option('tokens', { type: 'number', default: 3300, describe: 'Trunk tokens, half of them context' })
	.option('dtype', {
		choices: ['float32', 'bfloat16'] as const,
		default: 'bfloat16' as const,
		describe: 'Of the computation',
	})
	.option('peers', { type: 'boolean', default: false, describe: 'Against PyTorch and transformers' })
	.option('shapes', { array: true, choices: shapes, default: shapes, describe: 'With --peers' })
	.option('variants', {
		array: true,
		choices: ['sft', 'masked', 'query', 'embed'] as const,
		default: ['sft', 'masked', 'query', 'embed'] as const,
		describe: 'With --peers',
	})
	.option('modes', { array: true, choices: peerModes, default: peerModes, describe: 'Of the peer; the best counts' })
	.option('dtypes', {
		array: true,
		choices: ['float32', 'bfloat16'] as const,
		default: ['float32', 'bfloat16'] as const,
		describe: 'Of ours, with --peers; the best counts',
	})
	.check(({ steps = 3 }) => steps >= 2 || 'steps must be at least 2, one of them with a reading')
	.strict()
	.parseAsync();

const { json, peers, steps, rounds } = options;
const found = peers
	? await againstPeers({ ...options, steps: steps ?? 5, rounds: rounds ?? 1 })
	: await compareObjectives({ ...options, steps: steps ?? 3, rounds: rounds ?? 3 });
if (json !== undefined) writeFileSync(json, `${JSON.stringify(found, undefined, '\t')}\n`);
