import t from 'tap';
import { mayCut, nextCut } from '../../../lib/tokenizer/line-cuts.js';
import { QwenTokenizer } from '../../../lib/tokenizer/qwen-tokenizer.js';
import { clinicalTexts } from '../../fixtures/clinical-texts.js';
import fc from '../../fixtures/property.js';
import { qwen3Folder } from '../../fixtures/qwen3-tokenizer.js';
import { tinyTokenizerJson } from '../../fixtures/tiny-tokenizer.js';

function linesOf(text: string): string[] {
	const lines: string[] = [];
	for (let from = 0; from < text.length; from = nextCut(text, from)) lines.push(text.slice(from, nextCut(text, from)));
	return lines;
}

t.test('lines end after a newline that no white space follows', async (t) => {
	t.same(linesOf('a\nb\r\nc'), ['a\n', 'b\r\n', 'c']);
	t.same(linesOf('a\n\n\nb'), ['a\n\n\n', 'b'], 'blank lines are one piece with what precedes them');
	t.same(linesOf('a\n  b\n\tc\n\u00a0d\n\u0085e\n\ufefff'), ['a\n  b\n\tc\n\u00a0d\n\u0085e\n\ufefff']);
	t.same(linesOf('a\n'), ['a\n']);
	t.same(linesOf('\na'), ['\n', 'a']);
	t.same(linesOf('a\rb'), ['a\rb']);
	t.same(linesOf(''), []);
	t.same(linesOf('a\n漢\n😀\nµ'), ['a\n', '漢\n', '😀\n', 'µ']);
});

t.test('no cut before a character that is white space by any definition', async (t) => {
	const wrong: string[] = [];
	for (let unit = 0; unit < 0x10000; unit++) {
		const next = String.fromCharCode(unit);
		const isSpace = /[\s\p{White_Space}]/u.test(next) || /[\s\p{White_Space}]/u.test(next.normalize('NFC'));
		if (isSpace && nextCut(`a\n${next}`, 0) === 2) wrong.push(unit.toString(16));
	}
	t.same(wrong, []);
});

t.test('the whole-text encoder gives the ids of the lines, also where text is not normalised', async () => {
	const qwen3 = await QwenTokenizer.fromPretrained(qwen3Folder);
	fc.assert(
		fc.property(clinicalTexts, clinicalTexts, (a, b) => {
			const text = `${a}\n${b}`;
			const whole = qwen3.encodeUncached(text).join();
			const byLine = linesOf(text).flatMap((line) => [...qwen3.encodeUncached(line)]);
			if (byLine.join() !== whole) throw new Error(`${JSON.stringify(text)}: ${whole} but by lines ${byLine.join()}`);
		}),
		{ numRuns: 2000 },
	);
});

t.test('only a tokenizer that splits as Qwen may be cut', async (t) => {
	const json = tinyTokenizerJson();
	t.ok(mayCut(json));
	t.notOk(mayCut({ ...json, pre_tokenizer: null }));
	t.notOk(mayCut({ ...json, pre_tokenizer: json.pre_tokenizer.pretokenizers[0] }));
	t.notOk(mayCut({ ...json, added_tokens: [{ content: '<mask>', lstrip: true }] }));
	t.notOk(mayCut({ ...json, added_tokens: [{ content: 'a\nb' }] }));
});
