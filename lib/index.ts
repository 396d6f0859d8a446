/**
 * Train a patient world model on structured EHR: next-token prediction and JEPA on a Qwen3-style decoder. The public API
 * is exactly what this file exports.
 *
 * @packageDocumentation
 */
export { type SimulateOptions, type SimulationSummary, simulateCohort } from './cohort/simulate.js';
export { type MedsDataset, openMeds } from './data/meds.js';
export { importOmop } from './data/omop/import.js';
export type { ImportOmopOptionsInput as ImportOmopOptions } from './data/omop/options.js';
export type { OmopCdm, OmopImportReport, OmopTableCounts } from './data/omop/report.js';
export { type ValidateOptions, type ValidationReport, validateMeds, validationRules } from './data/validate.js';
export {
	AbortedError,
	CheckpointError,
	ConfigError,
	DataError,
	type DataErrorContext,
	DeviceError,
	EhrJepaError,
	NativeError,
	OutOfMemoryError,
	OutputError,
	RankError,
	SetupError,
	VocabularyError,
} from './errors.js';
export type { ClassDifference, ClassEvaluation, ClassResult, ClassStratum } from './evaluate/classes/class-file.js';
export { type ClassProbeFile, type ProbeClassesOptions, probeClasses } from './evaluate/classes/probe-classes.js';
export {
	type EmbeddedStates,
	type EmbedOptions,
	embed,
	readEmbeddings,
	type StatesDtype,
	writeEmbeddings,
} from './evaluate/embeddings.js';
export { type EvaluateOptions, evaluate, evaluateTogether } from './evaluate/evaluate.js';
export type {
	Estimate,
	EvaluatedModel,
	EvaluationFile,
	LatentStateResult,
	PairedDifference,
	ProbeResult,
	RolloutResult,
} from './evaluate/evaluation-file.js';
export type { FeatureTable } from './evaluate/features.js';
export {
	type PredictionMetricsFile,
	type PredictionMetricsOptions,
	predictionMetrics,
} from './evaluate/given/prediction-metrics.js';
export { type NumberProbeFile, type ProbeNumbersOptions, probeNumbers } from './evaluate/numbers/probe-numbers.js';
export { type ProbeFile, type ProbeOptions, probeFeatures } from './evaluate/probe-features.js';
export { type RolloutOptions, type RolloutTable, rollout } from './evaluate/rollout.js';
export { readRollout, writeRollout } from './evaluate/rollout-file.js';
export {
	type DaySurprise,
	type ScoredSequence,
	type ScoreOptions,
	scoreSequences,
	surpriseByDay,
} from './evaluate/score.js';
export {
	type ProbeSurvivalOptions,
	probeSurvival,
	type SurvivalProbeFile,
} from './evaluate/survival/probe-survival.js';
export type { SurvivalDifference, SurvivalResult, SurvivalStratum } from './evaluate/survival/survival-file.js';
export type { ExportSummary } from './export/folder.js';
export { type ExportOptions, exportHuggingFace } from './export/huggingface.js';
export { exportModelFolder, type ModelFolderOptions } from './export/model-folder.js';
export type { Device } from './model/device.js';
export type { HiddenStates } from './model/hidden-states.js';
export { type ModelSize, modelSizes, type Qwen3Shape } from './model/qwen3-config.js';
export type { LossOptions, StepOptions } from './model/step-options.js';
export {
	type EncoderChoice,
	type FromPretrainedOptions,
	type Losses,
	type Pooling,
	type StepResult,
	WorldModel,
	type WorldModelOptions,
} from './model/world-model.js';
export type { CollapseMonitors } from './objective/collapse-monitors.js';
export { type Objective, type ObjectivePreset, objectivePresets } from './objective/objective.js';
export { assembleStoreOfShards, type PrepareShard, prepareShard, prepareStore } from './prepare/prepare.js';
export type { PrepareOptions } from './prepare/prepare-options.js';
export { type DivideOptions, divideWork } from './ranks/divide-work.js';
export { type GroupTimeouts, ProcessGroup } from './ranks/process-group.js';
export type { Shard, WorkDivision } from './ranks/work-division.js';
export { writeReport } from './report/report.js';
export type { ReportInput } from './report/report-data.js';
export { Sampler, type SamplerOptions } from './sample/sampler.js';
export type { StoreManifest } from './store/manifest.js';
export { openTokenStore, type StoreSplit, type TokenStore } from './store/token-store.js';
export { crossValidate } from './study/cross-validation/cross-validate.js';
export type { CrossValidationFile } from './study/cross-validation/cross-validation-file.js';
export type { CrossValidationOptions } from './study/cross-validation/options.js';
export type { StudyOptions, StudyVariant } from './study/options.js';
export { runStudy } from './study/study.js';
export type { OverSeeds, StudyFile, StudyRow } from './study/study-file.js';
export { type BuildTasksOptions, buildTasks } from './tasks/build.js';
export { commonTasks, simulatedTasks, type TaskDefinition } from './tasks/definitions.js';
export type { IndexRuleInput as IndexRule } from './tasks/index-rules.js';
export { type IndexDateRow, readIndexDates, readLabels, readTaskList, type TaskList } from './tasks/read.js';
export { type IndexOrigin, readIndexRules } from './tasks/read-index-rules.js';
export { readTimeToEvent, type SurvivalLabelRow } from './tasks/survival-labels.js';
export {
	type SerialisedText,
	Serialiser,
	type SerialiserOptionsInput as SerialiserOptions,
	type TextRange,
} from './text/serialiser.js';
export type { TextCounts } from './text/text-counts.js';
export type { TextEvent } from './text/text-event.js';
export type { TextVocabulary } from './tokenizer/text-vocabulary.js';
export type { TokenVocabulary } from './tokenizer/token-vocabulary.js';
export type { Vocabulary } from './tokenizer/vocabulary.js';
export type { MemoryPlan } from './train/memory-plan.js';
export type { StepMetrics, TuningMetrics } from './train/metrics.js';
export { openModel } from './train/open-model.js';
export { planTraining, type TrainingPlan } from './train/plan.js';
export type { RunConfig } from './train/run-config.js';
export { RunFolder } from './train/run-folder.js';
export { learningRateAt } from './train/schedule.js';
export type { TrainConfig, TrainConfigInput } from './train/train-config.js';
export { Trainer } from './train/trainer.js';
export type {
	CohortFlowRow,
	IndexDate,
	LongOperation,
	PackedBatch,
	Progress,
	Split,
	Timeline,
	TrainingBatch,
} from './types.js';
export { type RunView, type ViewOptions, viewRuns } from './view/view.js';
