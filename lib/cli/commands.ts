import type { Argv } from 'yargs';

/** What a command takes and does. */
export interface CommandBody {
	readonly builder: (yargs: Argv) => unknown;
	/** Takes the arguments that its own builder declares; a list of commands cannot express that. */
	readonly handler: (args: never) => Promise<void>;
}

/** A command as the help lists it. Its code is loaded when it is named: that of all of them together takes a second. */
export interface Command {
	/** Its name and positional arguments, as yargs takes them. */
	readonly command: string;
	readonly describe: string;
	load(): Promise<CommandBody>;
}

/** In the order of the help. */
export const commands: readonly Command[] = [
	{
		command: 'demo',
		describe: 'The whole method end to end: data, two trainings, probes, report',
		load: () => import('./commands/demo.js'),
	},
	{
		command: 'study',
		describe: 'Compare the training objectives over seeds on simulated patients',
		load: () => import('./commands/study.js'),
	},
	{
		command: 'cross-validate <meds>',
		describe: 'Compare the training objectives on a small data set, each patient held out once a repeat',
		load: () => import('./commands/cross-validate.js'),
	},
	{
		command: 'simulate <out>',
		describe: 'Simulate a cohort whose true state is known, as a MEDS data set',
		load: () => import('./commands/simulate.js'),
	},
	{
		command: 'import-omop <cdm> <out>',
		describe: 'Convert an OMOP CDM 5.3 or 5.4 (CSV or parquet) to a MEDS data set',
		load: () => import('./commands/import-omop.js'),
	},
	{
		command: 'validate <meds>',
		describe: 'Check a folder against every rule of MEDS 0.4',
		load: () => import('./commands/validate.js'),
	},
	{
		command: 'prepare <meds> <out>',
		describe: 'Tokenise a MEDS data set into a token store',
		load: () => import('./commands/prepare.js'),
	},
	{
		command: 'plan',
		describe: 'Memory by kind and time of a step of a training run, before anything is allocated',
		load: () => import('./commands/plan.js'),
	},
	{
		command: 'train <store> <run>',
		describe: 'Train a world model on a token store',
		load: () => import('./commands/train.js'),
	},
	{
		command: 'launch',
		describe: 'Train, embed, score or evaluate in several processes: launch -n 2 train <store> <run> ...',
		load: () => import('./commands/launch.js'),
	},
	{
		command: 'tasks <meds> <out>',
		describe: 'Draw index dates and label what happens after them',
		load: () => import('./commands/tasks.js'),
	},
	{
		command: 'embed <run> <store> <tasks> <out>',
		describe: 'Frozen states of patients at index dates, as parquet',
		load: () => import('./commands/embed.js'),
	},
	{
		command: 'evaluate <meds> <tasks> <out>',
		describe: 'Probe embeddings: AUROC by horizon with patient-level intervals',
		load: () => import('./commands/evaluate.js'),
	},
	{
		command: 'probe <out>',
		describe: "Fit a linear probe on anybody's features: coefficients, predictions, metrics",
		load: () => import('./commands/probe.js'),
	},
	{
		command: 'metrics [out]',
		describe: 'Metrics of predictions, whoever made them, with patient-level intervals and paired differences',
		load: () => import('./commands/metrics.js'),
	},
	{
		command: 'report <evaluation> <out>',
		describe: 'One self-contained HTML file from evaluation.json and run folders',
		load: () => import('./commands/report.js'),
	},
	{
		command: 'view <directory>',
		describe: 'A page that follows the runs of a folder while they train, on this machine alone',
		load: () => import('./commands/view.js'),
	},
	{
		command: 'score <model> <out>',
		describe: 'Log-probability of every token, or how surprising each day of each patient is, as Arrow',
		load: () => import('./commands/score.js'),
	},
	{
		command: 'export <model> <out>',
		describe: 'A HuggingFace folder that transformers opens without code of ours, or a PEFT adapter',
		load: () => import('./commands/export.js'),
	},
	{
		command: 'info [path]',
		describe: 'What a MEDS data set, token store, run or HuggingFace folder holds; without a path, the build',
		load: () => import('./commands/info.js'),
	},
	{
		command: 'doctor',
		describe: 'Check a device: ops against references, a step of each objective, a resume, a short run',
		load: () => import('./commands/doctor.js'),
	},
];

export function nameOf({ command }: Command): string {
	return command.split(' ', 1)[0]!;
}
