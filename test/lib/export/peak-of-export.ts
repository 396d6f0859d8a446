/** Opens a run, exports it and reads with it, in a process of its own: prints the resident peaks of the process in bytes. */
import { exportHuggingFace, openModel } from '../../../lib/index.js';

const [run, out] = process.argv.slice(2) as [string, string];
const peak = () => process.resourceUsage().maxRSS * 1024;
const { model } = await openModel(run, { device: 'cpu', baseDtype: 'float32' });
await exportHuggingFace(model, out, { parts: ['predictor', 'target_encoder'] });
const exported = peak();
const batch = { tokens: Int32Array.of(1, 2, 3), cuSeqlens: Int32Array.of(0, 3), positionIds: Int32Array.of(0, 1, 2) };
await model.embed(batch, { encoder: 'target_encoder' });
await model.score(batch);
await model.close();
process.stdout.write(JSON.stringify({ exported, read: peak() }));
