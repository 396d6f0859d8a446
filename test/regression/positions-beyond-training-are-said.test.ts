/** Sequences longer than a pretrained model's max_position_embeddings are computed, and each command says so. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { main } from '../../lib/cli/main.js';
import { buildTasks, commonTasks, exportHuggingFace, openTokenStore, Trainer } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

/** What a command in this process says on stderr. */
async function stderrOf(t: Test, ...args: string[]): Promise<string> {
	const stdout = t.capture(process.stdout, 'write', () => true);
	const stderr = t.capture(process.stderr, 'write', () => true);
	const code = await main(args);
	stdout.restore();
	stderr.restore();
	const text = stderr()
		.map(({ args: [chunk] }) => String(chunk))
		.join('');
	t.equal(code, 0, text);
	return text;
}

t.test('train, embed and score', async (t) => {
	const folder = temporaryFolder(t);
	const at = (name: string) => join(folder, name);
	const store = await prepareTinyStore(folder);
	await buildTasks(at('meds'), at('tasks'), { minHistoryDays: 1, tasks: [...commonTasks] });
	const budgets = {
		contextTokens: 32,
		futureTokens: 16,
		tokensPerStep: 64,
		threads: 1,
		tuningEvery: 0,
		tuningBatches: 1,
	};
	await using opened = await openTokenStore(store);
	{
		await using trainer = await Trainer.create(at('first'), opened, { ...budgets, model: tinyModel, steps: 1 });
		await exportHuggingFace(trainer.model, at('model'), { maxPositionEmbeddings: 16 });
	}
	writeFileSync(at('ids.jsonl'), `${JSON.stringify(new Array(20).fill(2))}\n`);
	writeFileSync(at('train.json'), JSON.stringify(budgets));
	const beyond = (tokens: number) =>
		new RegExp(`warning: sequences of up to ${tokens} tokens are longer than the max_position_embeddings \\(16\\) of`);
	const [run, from] = [at('run'), at('model')];
	t.match(
		await stderrOf(t, 'train', store, run, '--from', from, '--steps', '1', '--config', at('train.json')),
		beyond(48),
	);
	t.match(await stderrOf(t, 'embed', run, store, at('tasks'), at('a.parquet')), beyond(32));
	t.match(await stderrOf(t, 'embed', run, store, at('tasks'), at('b.parquet'), '--context-tokens', '17'), beyond(17));
	t.notMatch(await stderrOf(t, 'embed', run, store, at('tasks'), at('c.parquet'), '--context-tokens', '16'), /warning/);
	t.match(await stderrOf(t, 'score', run, at('a.arrow'), '--tokens', at('ids.jsonl')), beyond(20));
	t.match(await stderrOf(t, 'score', from, at('b.arrow'), '--tokens', at('ids.jsonl')), beyond(20));
	t.match(await stderrOf(t, 'score', run, at('c.arrow'), '--store', store, '--window', '24'), beyond(24));
	t.match(await stderrOf(t, 'train', store, run, '--resume', '--steps', '2'), beyond(48));
});
