/** Whatever ends a process while a step runs, it leaves with its exit code and never by a signal. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { prepareStore, simulateCohort } from '../../lib/index.js';
import { RandomStream } from '../../lib/random.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const file = fileURLToPath(new URL('../fixtures/exit-during-step.js', import.meta.url));
const bin = fileURLToPath(new URL('../../../scripts/ehr-jepa.mjs', import.meta.url));
const folder = temporaryFolder(t);

/** How a process leaves by itself, and its exit code. */
const ways = {
	exit: 3,
	'really exit': 3,
	throw: 1,
	'main exits, a worker steps': 3,
	'worker is terminated': 3,
	'worker exits': 3,
	'worker throws': 1,
} as const;
const interruptions = ['Ctrl-C', 'Ctrl-C twice'] as const;
// 20 in all; `EXITS=200` for the long form (CONTRIBUTING.md).
const exits = Number(process.env.EXITS ?? 20);
const repeats = Math.ceil(exits / (Object.keys(ways).length + interruptions.length));

interface Outcome {
	readonly code: number | null;
	readonly signal: string | null;
	readonly stderr: string;
}

/** @param onText - Told all of stderr so far at each piece. */
function outcome(
	args: readonly string[],
	onText: (stderr: string, interrupt: () => void) => void = () => {},
): Promise<Outcome> {
	return new Promise((resolve) => {
		// NODE_OPTIONS holds what tap preloads: its handlers of signals are not a user's.
		const { NODE_OPTIONS: _, ...env } = process.env;
		const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
		let stderr = '';
		child.stderr.on('data', (chunk: Buffer) => {
			stderr += chunk.toString();
			onText(stderr, () => child.kill('SIGINT'));
		});
		child.once('close', (code, signal) => resolve({ code, signal, stderr }));
	});
}

t.setTimeout(3_600_000);

t.test('a process that has nothing left to do ends by itself', async (t) => {
	t.match(await outcome([file, 'drain', '0']), { code: 0, signal: null });
});

for (const [how, code] of Object.entries(ways)) {
	t.test(`${how}: ${repeats} times at random moments of a step`, async (t) => {
		const random = new RandomStream(how.length, 'probe');
		for (let i = 0; i < repeats; i++) {
			const delay = Math.floor(random.uniform() * 80);
			const found = await outcome([file, how, String(delay)]);
			t.equal(found.signal, null, `after ${delay} ms: ${found.stderr.slice(-300)}`);
			t.equal(found.code, code, `exit code after ${delay} ms: ${found.stderr.slice(-300)}`);
		}
	});
}

t.test('the command line', async (t) => {
	await simulateCohort(join(folder, 'cohort'), { patients: 30, seed: 1 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
	for (const how of interruptions) {
		t.test(`${how}: ${repeats} times at random moments of training`, async (t) => {
			const random = new RandomStream(how.length, 'probe');
			for (let i = 0; i < repeats; i++) {
				const delays = [Math.floor(random.uniform() * 200), Math.floor(random.uniform() * 60)];
				let sent = 0;
				const send = (interrupt: () => void) => setTimeout(interrupt, delays[sent++]);
				const options = ['--size', 'tiny', '--steps', '100000', '--set', 'checkpointEvery=1'];
				const found = await outcome(
					[bin, 'train', join(folder, 'store'), join(folder, `${how} ${i}`), ...options],
					(stderr, interrupt) => {
						if (sent === 0 && stderr.includes('train')) send(interrupt);
						if (sent === 1 && how === 'Ctrl-C twice' && stderr.includes('stopping at')) send(interrupt);
					},
				);
				t.equal(found.signal, null, `after ${delays} ms: ${found.stderr.slice(-300)}`);
				t.equal(found.code, 130, `exit code after ${delays} ms: ${found.stderr.slice(-300)}`);
				t.notMatch(found.stderr, /unexpected error|FileHandle|^ +at /m);
			}
		});
	}
});
