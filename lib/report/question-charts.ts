import type { Estimate } from '../evaluate/evaluation-file.js';
import { type Html, html, nothing } from './html.js';
import { intervalChart } from './interval-chart.js';
import { horizonLabel } from './numbers.js';
import type { ReportData } from './report-data.js';

/** Charts drawn of one kind; the tables have every task and horizon. */
const drawnQuestions = 4;
/** Marks of one chart that can be told apart at the width of a phone. */
const mostMarks = 48;

/** What a model says at a task and horizon, of a part of the samples or after so many labels. */
interface Answer {
	readonly model: string;
	readonly task: string;
	readonly horizonDays: number | null;
	readonly auroc: Estimate;
}

/** All answers at one task and horizon. */
export interface Question<T extends Answer> {
	readonly name: string;
	readonly rows: readonly T[];
}

export function questionsOf<T extends Answer>(data: ReportData, rows: readonly T[]): Question<T>[] {
	const questions = new Map<string, T[]>();
	for (const row of rows) {
		const key = JSON.stringify([row.task, row.horizonDays]);
		const own = questions.get(key);
		if (own === undefined) questions.set(key, [row]);
		else own.push(row);
	}
	return [...questions.values()].map((own) => ({
		name: `${data.taskLabel(own[0]!.task)}, ${horizonLabel(own[0]!.horizonDays)}`,
		rows: own,
	}));
}

export interface QuestionCharts<T extends Answer> {
	readonly id: string;
	/** What is along the x axis. */
	readonly axis: string;
	readonly categoryOf: (row: T) => string;
	/** Places are steps of one scale, of which some may be left out where there are too many marks. */
	readonly isScale: boolean;
	/** Said where no question has a number. */
	readonly none: string;
}

/** AUROC of every model, for the questions of which most can be said. */
export function questionCharts<T extends Answer>(
	data: ReportData,
	questions: readonly Question<T>[],
	{ id, axis, categoryOf, isScale, none }: QuestionCharts<T>,
): Html {
	const defined = ({ rows }: Question<T>) => rows.filter(({ auroc }) => auroc.value !== null).length;
	const drawable = questions.filter((question) => defined(question) > 0);
	const most = new Set(drawable.toSorted((a, b) => defined(b) - defined(a)).slice(0, drawnQuestions));
	// In the order of tasks and horizons, as everywhere.
	const drawn = drawable.filter((question) => most.has(question));
	if (drawn.length === 0) return html`<p class="note">${none}</p>`;
	const all = [...new Set(questions.flatMap(({ rows }) => rows.map(categoryOf)))];
	const models = new Set(questions.flatMap(({ rows }) => rows.map(({ model }) => model))).size;
	const shown = isScale ? spread(all, Math.max(2, Math.floor(mostMarks / models))) : all;
	return html`<div class="charts">${drawn.map(({ name, rows }, i) =>
		intervalChart({
			id: `${id}-${i}`,
			title: `${name}: AUROC by ${axis}`,
			valueName: 'AUROC',
			categoryName: axis,
			points: rows
				.filter((row) => shown.includes(categoryOf(row)))
				.map((row) => ({
					category: categoryOf(row),
					name: data.labelOf(row.model),
					style: data.styleOf(row.model),
					estimate: row.auroc,
				})),
			range: [0, 1],
			reference: { value: 0.5, label: 'chance' },
		}),
	)}</div>
${shown.length < all.length ? html`<p class="note">${shown.length} of ${all.length} steps are drawn, so that ${models} models can be told apart; the table holds all.</p>` : nothing}
${drawn.length < questions.length ? html`<p class="note">${drawn.length} of ${questions.length} tasks and horizons are drawn, ${drawable.length > drawn.length ? 'those with the most numbers' : 'the others have too few patients'}; the table holds all.</p>` : nothing}`;
}

/** At most so many of a list, the first and the last among them. @param most - At least 2. */
function spread<T>(list: readonly T[], most: number): readonly T[] {
	if (list.length <= most) return list;
	return Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]!);
}
