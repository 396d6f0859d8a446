import { ConfigError } from '../errors.js';
import { nativeAddon } from '../native.js';
import { nativeShape, type Qwen3Shape } from './qwen3-config.js';

/**
 * Names and shapes of a decoder's weights, in the order of the files: those of native/model/layout, which is the one place
 * that spells them. A tied head has no tensor of its own.
 *
 * @throws {ConfigError} For a shape that the core refuses.
 */
export function weightShapes(shape: Qwen3Shape, vocabSize: number): Map<string, readonly number[]> {
	const { weightShapes } = nativeAddon();
	try {
		return new Map(weightShapes(nativeShape(shape, vocabSize)).map(({ name, shape }) => [name, shape]));
	} catch (cause) {
		throw new ConfigError((cause as Error).message, { cause });
	}
}
