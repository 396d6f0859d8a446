import t from 'tap';
import type {
	EmbeddedStates,
	Estimate,
	EvaluationFile,
	FeatureTable,
	IndexDate,
	LongOperation,
	StepMetrics,
	TrainConfigInput,
	WorldModelOptions,
} from '../../lib/index.js';
import * as api from '../../lib/index.js';

// Types that a caller leans on; a change that breaks a caller breaks the compilation of this file.
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <_T extends true>(): void => {};
holds<Equal<ReturnType<api.Trainer['run']>, AsyncGenerator<StepMetrics>>>();
holds<Equal<Parameters<api.Trainer['run']>[1], LongOperation | undefined>>();
holds<Equal<Awaited<ReturnType<typeof api.embed>>, EmbeddedStates>>();
const _table: FeatureTable = {} as EmbeddedStates;
holds<Equal<Awaited<ReturnType<typeof api.evaluate>>, EvaluationFile>>();
holds<Equal<EvaluationFile['probes'][number]['auroc'], Estimate>>();
holds<Equal<StepMetrics['latentLoss'], number | null>>();
holds<Equal<LongOperation['signal'], AbortSignal | undefined>>();
holds<Equal<IndexDate['subjectId'], bigint>>();
const _config: TrainConfigInput = { steps: 10, objective: api.objectivePresets.sft };
// @ts-expect-error a misspelt option does not compile
const _misspelt: TrainConfigInput = { step: 10 };
// @ts-expect-error the vocabulary size has no default
const _incomplete: WorldModelOptions = { shape: {} as api.Qwen3Shape, maskTokenId: 1, seed: 1 };

t.test('the public API is frozen: a name is added on purpose, and taken away in a major version', async (t) => {
	t.same(Object.keys(api).sort(), [
		'AbortedError',
		'CheckpointError',
		'ConfigError',
		'DataError',
		'DeviceError',
		'EhrJepaError',
		'NativeError',
		'OutOfMemoryError',
		'OutputError',
		'ProcessGroup',
		'RankError',
		'RunFolder',
		'Sampler',
		'Serialiser',
		'SetupError',
		'Trainer',
		'VocabularyError',
		'WorldModel',
		'assembleStoreOfShards',
		'buildTasks',
		'commonTasks',
		'crossValidate',
		'divideWork',
		'embed',
		'evaluate',
		'evaluateTogether',
		'exportHuggingFace',
		'exportModelFolder',
		'importOmop',
		'learningRateAt',
		'modelSizes',
		'objectivePresets',
		'openMeds',
		'openModel',
		'openTokenStore',
		'planTraining',
		'predictionMetrics',
		'prepareShard',
		'prepareStore',
		'probeClasses',
		'probeFeatures',
		'probeNumbers',
		'probeSurvival',
		'readEmbeddings',
		'readIndexDates',
		'readIndexRules',
		'readLabels',
		'readRollout',
		'readTaskList',
		'readTimeToEvent',
		'rollout',
		'runStudy',
		'scoreSequences',
		'simulateCohort',
		'simulatedTasks',
		'surpriseByDay',
		'validateMeds',
		'validationRules',
		'viewRuns',
		'writeEmbeddings',
		'writeReport',
		'writeRollout',
	]);
});

t.test('every error is an EhrJepaError with a code of its own', async (t) => {
	const made = [
		new api.AbortedError('m'),
		new api.CheckpointError('m'),
		new api.ConfigError('m'),
		new api.DataError('scope', { file: 'f', rule: 'r' }),
		new api.DeviceError('m'),
		new api.NativeError('m'),
		new api.OutOfMemoryError('m'),
		new api.OutputError('m'),
		new api.RankError('m'),
		new api.SetupError('m'),
		new api.VocabularyError('m'),
	];
	const exported = Object.keys(api).filter((name) => name.endsWith('Error') && name !== 'EhrJepaError');
	t.same(made.map((error) => error.constructor.name).sort(), exported);
	for (const error of made) t.ok(error instanceof api.EhrJepaError);
	t.equal(new Set(made.map(({ code }) => code)).size, made.length);
	t.equal(new api.AbortedError('m').name, 'AbortError', 'as the platform names it');
});
