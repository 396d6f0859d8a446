import t from 'tap';
import { z } from 'zod';
import { parseConfig } from '../../lib/config.js';
import { ConfigError } from '../../lib/errors.js';
import { TrainConfig } from '../../lib/train/train-config.js';

t.test('an unknown key is an error that names it', async (t) => {
	t.throws(() => parseConfig('train config', TrainConfig, { step: 3 }), {
		code: 'EHR_JEPA_CONFIG',
		message: /options has no option "step"/,
	});
	t.throws(() => parseConfig('train config', TrainConfig, { optimizer: { lr: 1 } }), {
		message: /optimizer has no option "lr"/,
	});
});

t.test('every violation is listed with path, rule and value', async (t) => {
	const schema = z.strictObject({ a: z.int().positive(), b: z.number().max(1) });
	t.throws(() => parseConfig('x', schema, { a: -1, b: 2 }), { message: /\[x\] a: .*but it is -1; b: .*but it is 2/s });
	t.throws(() => parseConfig('x', schema, { a: 1 }), { message: /b: .*but it is missing/ });
	t.throws(() => parseConfig('x', schema, { a: 1, b: 'y' }), ConfigError);
});

t.test('impossible combinations are refused', async (t) => {
	t.throws(() => parseConfig('x', TrainConfig, { objective: { nextToken: null, latent: null } }), {
		message: /must switch on nextToken, latent or both/,
	});
	t.throws(() => parseConfig('x', TrainConfig, { model: { numAttentionHeads: 4, numKeyValueHeads: 3 } }), {
		message: /must divide numAttentionHeads/,
	});
	t.throws(() => parseConfig('x', TrainConfig, { model: { headDim: 7 } }), { message: /model\.headDim/ });
});

t.test('defaults are filled in', async (t) => {
	const config = parseConfig('x', TrainConfig, {});
	t.same(config.objective.latent?.target, { kind: 'ema', momentum: 0.996, layers: 1 });
	t.same(config.objective.latent?.branch, { kind: 'masked', ratio: 0.5, span: 1 });
	t.equal(config.optimizer.gradientClip, 1);
});
