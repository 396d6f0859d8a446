import type { Argv } from 'yargs';
import { type ModelSize, modelSizes } from '../model/qwen3-config.js';
import { type ObjectivePreset, objectivePresets } from '../objective/objective.js';
import { type TrainPreset, trainPresets } from '../train/presets.js';
import { setOption } from './settings.js';

/** Adds the flags from which the configuration of a training comes. */
export function withTrainingOptions<T>(yargs: Argv<T>) {
	return yargs
		.option('config', { type: 'string', describe: 'JSON file with any training option; the options below win over it' })
		.option('preset', {
			choices: Object.keys(trainPresets) as TrainPreset[],
			describe: 'A whole configuration; --config and the options below win over it',
		})
		.option('objective', {
			choices: Object.keys(objectivePresets) as ObjectivePreset[],
			describe: 'Losses to train on',
		})
		.option('size', { choices: Object.keys(modelSizes) as ModelSize[], describe: 'Shape of the decoder' })
		.option('from', { type: 'string', describe: 'HuggingFace folder whose weights training starts from' })
		.option('set', setOption);
}
