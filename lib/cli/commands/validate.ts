import type { Argv } from 'yargs';
import type { Finding, Offender } from '../../data/validate/rule.js';
import { type ValidationReport, validateMeds } from '../../data/validate.js';
import { withContext } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { lifeCodesOf, withLifeCodes } from '../life-code-options.js';

export const builder = (yargs: Argv) =>
	withLifeCodes(yargs)
		.positional('meds', {
			type: 'string',
			demandOption: true,
			describe: 'Root of a MEDS data set (holds data/ and metadata/)',
		})
		.option('max-code-length', { type: 'number', default: 256, describe: 'Longest code that is not reported' })
		.example('$0 validate cohort', 'Every broken rule with its count and first row; exit code 3 when one is an error');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const options = { maxCodeLength: args.maxCodeLength, lifeCodes: lifeCodesOf(args) };
		const report = await validateMeds(args.meds, options, context.operation());
		context.result(validationText(args.meds, report), report);
		if (!report.valid) process.exitCode = exitCodes.data;
	});
}

/** The report for people: a line of totals, a line per broken rule, the verdict. */
function validationText(meds: string, report: ValidationReport): string {
	const number = (value: number) => value.toLocaleString('en-US');
	const splits = Object.entries(report.splits).map(([name, subjects]) => `${number(subjects)} ${name}`);
	const errors = report.findings.filter(({ severity }) => severity === 'error').length;
	const warnings = report.findings.length - errors;
	const verdict = report.strict
		? 'valid MEDS 0.4'
		: report.valid
			? 'readable, with forms of an older MEDS: a strict reader of MEDS 0.4 may refuse it'
			: 'not valid MEDS';
	return [
		`${meds}: ${number(report.events)} events of ${number(report.subjects)} subjects in ${number(report.files)} files, ${number(report.codes)} codes${splits.length === 0 ? '' : `; ${splits.join(', ')}`}`,
		...report.findings.map(findingText),
		...report.unchecked.map(({ file, reason }) => `unchecked  ${file}: ${reason}`),
		`${verdict}: ${report.rules.length} rules, ${errors} broken, ${warnings} warnings`,
	].join('\n');
}

function findingText({ severity, name, count, unit, message, first, fix }: Finding): string {
	return `${severity.padEnd(8)} ${name}: ${message} (${count.toLocaleString('en-US')} ${unit}; first ${placeText(first)})${fix === undefined ? '' : `; ${fix}`}`;
}

function placeText({ file, row, column, subjectId, value }: Offender): string {
	return [
		`${file}${row === undefined ? '' : ` row ${row}`}`,
		...(column === undefined ? [] : [`column ${column}`]),
		...(subjectId === undefined ? [] : [`subject ${subjectId}`]),
		...(value === undefined ? [] : [value]),
	].join(', ');
}
