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
