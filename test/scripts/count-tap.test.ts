import t from 'tap';
import { TapCounter } from './script-modules.js';

function count(text: string) {
	const counter = new TapCounter();
	for (const line of text.split('\n')) counter.push(line);
	const { failures, ...counts } = counter.total();
	return { ...counts, failures: failures.map((failure) => failure.split('\n')[0]) };
}

t.test('assertions are counted, their subtests are not', async (t) => {
	const tap = `TAP version 14
1..1
# Subtest: dist/test/a.test.js
    # Subtest: outer
        ok 1 - a
        # Subtest: inner
            not ok 1 - bad
              ---
              source: |
                ok 7 - in a diagnostic
              ...
            
            1..1
        not ok 2 - inner # time=1ms
          ---
          at: here
          ...
        
        1..2
    not ok 1 - outer # time=2ms
    
    ok 2 - skipped # SKIP why
    not ok 3 - later # TODO
    ok 4 - an escaped \\# SKIP in a name
    1..4
not ok 1 - dist/test/a.test.js # time=3ms`;
	t.same(count(tap), {
		passed: 2,
		failed: 1,
		skipped: 2,
		failures: ['dist/test/a.test.js > outer > inner > bad'],
	});
});

t.test('a file that dies is a failure, whatever it said before', async (t) => {
	const crash = `1..3
# Subtest: dist/test/a.test.js
    ok 1 - fine
    1..1
not ok 1 - dist/test/a.test.js # time=3ms
  ---
  exitCode: null
  signal: SIGSEGV
  ...
# Subtest: dist/test/b.test.js
    1..0 # no tests found
not ok 2 - dist/test/b.test.js # time=3ms
# Subtest: dist/test/c.test.js
    1..0 # no tests found
ok 3 - dist/test/c.test.js # SKIP no tests found`;
	t.same(count(crash), {
		passed: 1,
		failed: 3,
		skipped: 0,
		failures: ['dist/test/a.test.js', 'dist/test/b.test.js', 'dist/test/c.test.js'],
	});
});

t.test('files that were planned and never reported are failures', async (t) => {
	t.same(count('1..4\nok 1 - dist/test/a.test.js'), {
		passed: 1,
		failed: 3,
		skipped: 0,
		failures: ['3 files never reported'],
	});
	t.same(count('1..2\nok 1 - a\nok 2 - b'), { passed: 2, failed: 0, skipped: 0, failures: [] });
});
