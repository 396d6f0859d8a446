import type { ClassDifference, ClassResult } from '../../evaluate/classes/class-file.js';
import { type Html, html, nothing } from '../html.js';
import { intervalChart } from '../interval-chart.js';
import { modelLegend } from '../model-legend.js';
import { formatCount } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, difference, estimate, modelAnd, type Row, share, table } from '../table.js';

/** Classes that are drawn, the most frequent ones; the tables hold all. */
const drawnClasses = 8;

/** How well each of several classes is told from the others. Undefined unless there are such tasks. */
export function classesSection(data: ReportData): Section | undefined {
	const { classes } = data.evaluation;
	if (classes === undefined || classes.results.length === 0) return undefined;
	const body = html`<p>A multinomial logistic regression on the frozen state, on held-out patients; boosted trees are fitted for each class against all others. Accuracy is the share of samples whose likeliest class is theirs, log-loss the mean of −log of the probability of the true class (lower is better), AUROC that of one class against all others, 0.5 by chance, and macro AUROC the mean of these.</p>
${modelLegend(data, classes.results)}
${classes.tasks.map(({ name, label, definition, unknownClass }, i) => {
	const rows = classes.results.filter(({ task }) => task === name);
	return html`<section class="task"><h3>${label}</h3><p class="note">${definition}</p>
${unknownClass === 0 ? nothing : html`<p class="note">${formatCount(unknownClass)} samples of tuning and held-out are of classes that train does not have, and are left out.</p>`}
${chart(data, `classes-${i}`, label, rows)}
${together(data, label, rows)}
${details('Each class, differences and parts', html`${eachClass(data, label, rows)}${differences(data, name, label)}${parts(data, name, label)}`)}</section>
`;
})}`;
	return { id: 'classes', title: 'Several classes', body };
}

function chart(data: ReportData, id: string, label: string, rows: readonly ClassResult[]): Html {
	const all = rows[0]?.classes ?? [];
	const drawn = new Set(
		[...all]
			.sort((a, b) => b.nPositives - a.nPositives)
			.slice(0, drawnClasses)
			.map(({ name }) => name),
	);
	if (drawn.size === 0) return nothing;
	return html`${intervalChart({
		id,
		title: `${label}: AUROC of each class against all others`,
		valueName: 'AUROC',
		categoryName: 'class',
		points: rows.flatMap(({ model, classes }) =>
			classes
				.filter(({ name }) => drawn.has(name))
				.map(({ name, auroc }) => ({
					category: name,
					name: data.labelOf(model),
					style: data.styleOf(model),
					estimate: auroc,
				})),
		),
		range: [0, 1],
		reference: { value: 0.5, label: 'chance' },
	})}${all.length > drawn.size ? html`<p class="note">The ${drawn.size} most frequent of ${all.length} classes are drawn; the table holds all.</p>` : nothing}`;
}

function together(data: ReportData, label: string, rows: readonly ClassResult[]): Html {
	return table(
		`${label}: all classes together`,
		modelAnd('Macro AUROC', 'Accuracy', 'Log-loss', 'Classes', 'Samples', 'Patients', 'Fitted on'),
		rows.map(
			(row): Row => ({
				cells: [
					data.labelOf(row.model),
					...[row.macroAuroc, row.accuracy, row.logLoss].map(estimate),
					...[row.classes.length, row.nSamples, row.nPatients, row.nTrainSamples].map(count),
				],
			}),
		),
	);
}

function eachClass(data: ReportData, label: string, rows: readonly ClassResult[]): Html {
	return table(
		`${label}: each class against all others`,
		modelAnd('AUROC', 'Average precision', 'Samples of it', 'Share', 'Fitted, of it'),
		(rows[0]?.classes ?? []).flatMap(({ name }, k) =>
			rows.map(({ model, classes }, i): Row => {
				const { auroc, averagePrecision, nPositives, prevalence, nTrainPositives } = classes[k]!;
				const cells = [
					data.labelOf(model),
					estimate(auroc),
					estimate(averagePrecision),
					count(nPositives),
					share(prevalence),
					count(nTrainPositives),
				];
				return i === 0 ? { cells, group: `Class: ${name}` } : { cells };
			}),
		),
	);
}

const metricNames: Readonly<Record<ClassDifference['metric'], string>> = {
	accuracy: 'Accuracy',
	logLoss: 'Log-loss (lower is better)',
	macroAuroc: 'Macro AUROC',
	auroc: 'AUROC',
	averagePrecision: 'Average precision',
};

function differences(data: ReportData, task: string, label: string): Html {
	const rows = data.evaluation.classes?.differences.filter((row) => row.task === task && row.by === null) ?? [];
	return table(
		`${label}: paired differences`,
		[{ title: 'Models' }, { title: 'Metric' }, { title: 'Difference', numeric: true }],
		rows.map(({ a, b, class: name, metric, difference: value }): Row => {
			const what = name === null ? metricNames[metric] : `${metricNames[metric]} of ${name}`;
			return { cells: [`${data.labelOf(a)} - ${data.labelOf(b)}`, what, difference(value)] };
		}),
	);
}

function parts(data: ReportData, task: string, label: string): Html {
	const rows = data.evaluation.classes?.strata.filter((row) => row.task === task) ?? [];
	let last = '';
	return table(
		`${label}: parts of the samples`,
		modelAnd('Macro AUROC', 'Accuracy', 'Log-loss', 'Samples', 'Patients'),
		rows.map((row): Row => {
			const group = `${row.by}: ${row.group}`;
			const cells = [
				data.labelOf(row.model),
				...[row.macroAuroc, row.accuracy, row.logLoss].map(estimate),
				...[row.nSamples, row.nPatients].map(count),
			];
			const heading = group === last ? {} : { group };
			last = group;
			return { cells, ...heading };
		}),
	);
}
