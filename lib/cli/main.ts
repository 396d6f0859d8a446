import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { EhrJepaError } from '../errors.js';
import { systemError } from '../files/system-errors.js';
import { packageVersion } from '../package-version.js';
import { launchable } from './commands/launch.js';
import { type CommandBody, commands, nameOf } from './commands.js';
import { exitCodeOf, exitCodes } from './exit-codes.js';
import { withFlags, withNearestFlags } from './flag-names.js';
import { isSilentRank, isToldByAnother } from './rank-output.js';
import { tellWaitingRanks } from './with-group.js';

class UsageError extends Error {}

/** By the names of their commands. */
type Bodies = ReadonlyMap<string, CommandBody>;

const names: ReadonlySet<string> = new Set(commands.map(nameOf));

/**
 * Runs the command line.
 *
 * @param argv - Arguments without node and script.
 * @returns The exit code.
 */
export async function main(argv: readonly string[]): Promise<number> {
	const json = argv.includes('--json');
	const bodies = await bodiesOf(argv);
	const ofRun = launchable.includes(argv[0] ?? '');
	let parser = yargs(withRanksApart(argv))
		.scriptName('ehr-jepa')
		.usage('$0 <command> [options]\n\nTrain a patient world model on MEDS records, and see it probed.')
		.option('json', { type: 'boolean', default: false, global: true, describe: 'Print the result as JSON on stdout' })
		.version(packageVersion)
		.strict()
		.parserConfiguration({ 'populate--': argv[0] === 'launch' })
		.check((args) => refuseEmpty(args, argv) && refuseNoNumbers(args, argv), true)
		.demandCommand(1, 1, 'Name a command.', 'Name one command.')
		.recommendCommands()
		.wrap(Math.min(110, process.stdout.columns ?? 110))
		.epilogue(
			'A command’s own help: ehr-jepa <command> --help. `ehr-jepa setup` finds or fetches libtorch and builds the addon.',
		)
		.exitProcess(false)
		.fail((message, error) => {
			throw error ?? new UsageError(message);
		});
	for (const listed of commands) {
		const { command, describe } = listed;
		parser = parser.command({ command, describe, handler() {}, ...(bodies.get(nameOf(listed)) as object | undefined) });
	}
	try {
		refuseMissingNumbers(argv, bodies);
		await parser.parseAsync();
		// A command that prints a result and a verdict (validate) sets the code itself.
		return Number(process.exitCode ?? exitCodes.ok);
	} catch (thrown) {
		if (thrown instanceof UsageError) {
			const why = withNearestFlags(thrown.message, flagsOf(argv, bodies));
			process.stderr.write(`${why}\n${whereToLook(argv)}\n`);
			if (ofRun) await tellWaitingRanks(thrown, why);
			return exitCodes.usage;
		}
		const error = systemError(thrown);
		// Rank 0 alone prints results, errors among them.
		if (ofRun && isToldByAnother(error)) return exitCodeOf(error);
		const silent = ofRun && isSilentRank();
		printError(error, json && !silent, flagsOf(argv, bodies));
		if (ofRun) await tellWaitingRanks(thrown);
		return exitCodeOf(error);
	}
}

/** Commands whose name is among the words: the one that was asked for, wherever it stands, and few others. */
async function bodiesOf(argv: readonly string[]): Promise<Bodies> {
	const named = commands.filter((command) => argv.includes(nameOf(command)));
	return new Map(await Promise.all(named.map(async (command) => [nameOf(command), await command.load()] as const)));
}

function whereToLook(argv: readonly string[]): string {
	return `See: ehr-jepa ${names.has(argv[0] ?? '') ? `${argv[0]} ` : ''}--help`;
}

/** `launch` takes the options before the command that its ranks run, and leaves that one's to it. */
function withRanksApart(argv: readonly string[]): string[] {
	const at = argv[0] === 'launch' && !argv.includes('--') ? argv.findIndex((word, i) => i > 0 && names.has(word)) : -1;
	return at < 0 ? [...argv] : [...argv.slice(0, at), '--', ...argv.slice(at)];
}

/** The parser would take the default for a number that was named and not given. */
function refuseMissingNumbers(argv: readonly string[], bodies: Bodies): void {
	const numbers = optionsOf(argv, bodies)?.number ?? [];
	const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
	for (const [i, word] of argv.slice(0, end).entries()) {
		const next = i + 1 < end ? argv[i + 1] : undefined;
		if (word.startsWith('--') && numbers.includes(word.slice(2)) && (next === undefined || next.startsWith('--')))
			throw new UsageError(`${word.slice(2)} must not be empty; leave it out or give it a value`);
	}
}

/** An empty argument, as of an unset variable of the shell, names no file and no model. */
function refuseEmpty(args: Readonly<Record<string, unknown>>, argv: readonly string[]): true {
	for (const [name, value] of Object.entries(args)) {
		// A list that was named and has nothing is not one that was left out, whose default would take its place.
		const listOfNothing = Array.isArray(value) && value.length === 0 && argv.includes(`--${name}`);
		const empty = value === '' || listOfNothing || (Array.isArray(value) && value.includes(''));
		if (empty && name !== '_') throw new UsageError(`${name} must not be empty; leave it out or give it a value`);
	}
	return true;
}

/** Runs the command line and ends the process as it says. @param argv - Arguments without node and script. */
export async function run(argv: readonly string[]): Promise<void> {
	process.exitCode = await main(argv);
	// A process that ends by itself lets go of its signals before it runs the destructors of libtorch; a second Ctrl-C would
	// then end it by the signal.
	if (process.exitCode === exitCodes.aborted) process.exit();
}

/** The parser makes NaN of a word that is no number; the message has the word. */
function refuseNoNumbers(args: Readonly<Record<string, unknown>>, argv: readonly string[]): true {
	for (const [name, value] of Object.entries(args)) {
		if (![value].flat().some(Number.isNaN)) continue;
		const word = wordsOf(name, argv).find((found) => Number.isNaN(Number(found)));
		if (word !== undefined) throw new UsageError(`${name} must be a number but is ${JSON.stringify(word)}`);
	}
	return true;
}

/** What was typed for an option, as --name word ... or --name=word. */
function wordsOf(name: string, argv: readonly string[]): string[] {
	return argv.flatMap((word, i) => {
		if (word.startsWith(`--${name}=`)) return [word.slice(name.length + 3)];
		if (word !== `--${name}`) return [];
		const rest = argv.slice(i + 1);
		const end = rest.findIndex((next) => next.startsWith('--'));
		return end < 0 ? rest : rest.slice(0, end);
	});
}

/** Flags of the command that was asked for, without dashes. */
function flagsOf(argv: readonly string[], bodies: Bodies): string[] {
	return Object.keys(optionsOf(argv, bodies)?.key ?? {});
}

/** What the command that was asked for takes: known to yargs, and not to its types. */
function optionsOf(argv: readonly string[], bodies: Bodies) {
	const found = bodies.get(argv[0] ?? '');
	if (found === undefined) return undefined;
	const built = found.builder(yargs([])) as unknown as {
		getOptions(): { readonly key: Record<string, unknown>; readonly number: readonly string[] };
	};
	return built.getOptions();
}

function printError(error: unknown, json: boolean, flags: readonly string[]): void {
	if (json) {
		const { code = 'INTERNAL', message = String(error) } = error as { code?: string; message?: string };
		process.stdout.write(`${JSON.stringify({ error: { code, message: withFlags(message, flags) } })}\n`);
	}
	if (error instanceof EhrJepaError)
		process.stderr.write(`${error.name} (${error.code}): ${withFlags(error.message, flags)}\n`);
	else process.stderr.write(`unexpected error, please report it: ${(error as Error).stack ?? String(error)}\n`);
}

if (process.argv[1] !== undefined && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
	await run(hideBin(process.argv));
}
