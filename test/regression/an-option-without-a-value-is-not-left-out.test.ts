/** Promise: an option that is named has a value; its default does not take the place of one that was forgotten. */
import t from 'tap';
import { runCli } from '../fixtures/run-cli.js';

t.test('lists and numbers without a value are refused by name', async (t) => {
	for (const [name, ...args] of [
		['library', 'tasks', 'cohort', 'out', '--library'],
		['library', 'tasks', 'cohort', 'out', '--library', '--index', 'visit'],
		['index', 'tasks', 'cohort', 'out', '--index'],
		['per-patient', 'tasks', 'cohort', 'out', '--per-patient'],
		['training-sizes', 'evaluate', 'cohort', 'tasks', 'out', '--model', 'a=b', '--training-sizes'],
		['model', 'evaluate', 'cohort', 'tasks', 'out', '--model'],
		['draws', 'evaluate', 'cohort', 'tasks', 'out', '--model', 'a=b', '--draws', '--seed', '3'],
		['steps', 'train', 'store', 'run', '--steps'],
		['checkpoint', 'embed', 'run', 'store', 'tasks', 'out', '--checkpoint'],
	] as const) {
		const { status, stderr } = await runCli(t, args);
		t.equal(status, 2, args.join(' '));
		t.match(stderr, new RegExp(`${name} must not be empty`), args.join(' '));
	}
	// What stands after the command of the ranks is theirs; a negative number is a value.
	const { stderr } = await runCli(t, ['evaluate', 'cohort', 'tasks', 'out', '--model', 'a=b', '--seed', '-3']);
	t.match(stderr, /seed: must be at least 0, but it is -3/);
});

t.test('a word that is no number is refused by name, as it was typed', async (t) => {
	for (const [message, ...args] of [
		['buffer-days must be a number but is "abc"', 'tasks', 'cohort', 'out', '--buffer-days', 'abc'],
		['buffer-days must be a number but is "abc"', 'tasks', 'cohort', 'out', '--buffer-days=abc'],
		['seed must be a number but is "x1"', 'demo', '--seed', 'x1', '--steps', '3'],
		['vocab-size must be a number but is "3,000"', 'plan', '--size', 'tiny', '--vocab-size', '3,000'],
		[
			'horizon must be a number but is "90d"',
			'probe',
			'out',
			'--features',
			'f',
			'--labels',
			'l',
			'--horizon',
			'30',
			'90d',
		],
	] as const) {
		const { status, stderr } = await runCli(t, args);
		t.equal(status, 2, args.join(' '));
		t.ok(stderr.startsWith(message), `${args.join(' ')}: ${stderr}`);
	}
});
