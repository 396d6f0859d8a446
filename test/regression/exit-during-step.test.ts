/** Whatever ends a process while a step runs, it leaves with its exit code and never by a signal. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { RandomStream } from '../../lib/random.js';

const file = fileURLToPath(new URL('../fixtures/exit-during-step.js', import.meta.url));
/** How a process leaves, and its exit code; `EXITS` repeats each as often. */
const ways = { exit: 3, 'really-exit': 3, throw: 1, worker: 3 } as const;
const repeats = Number(process.env.EXITS ?? 5);

function outcome(how: string, delay: number): Promise<{ code: number | null; signal: string | null; stderr: string }> {
	return new Promise((resolve) => {
		const child = spawn(process.execPath, [file, how, String(delay)], { stdio: ['ignore', 'ignore', 'pipe'] });
		let stderr = '';
		child.stderr.on('data', (chunk: Buffer) => {
			stderr += chunk.toString();
		});
		child.once('exit', (code, signal) => resolve({ code, signal, stderr }));
	});
}

t.setTimeout(600_000);

t.test('a process that has nothing left to do ends by itself', async (t) => {
	t.match(await outcome('drain', 0), { code: 0, signal: null });
});

for (const [how, code] of Object.entries(ways)) {
	t.test(`${how}: ${repeats} times at random moments of a step`, async (t) => {
		const random = new RandomStream(how.length, 'probe');
		for (let i = 0; i < repeats; i++) {
			const delay = Math.floor(random.uniform() * 80);
			const found = await outcome(how, delay);
			t.equal(found.signal, null, `after ${delay} ms: ${found.stderr.slice(-300)}`);
			t.equal(found.code, code, `exit code after ${delay} ms`);
		}
	});
}
