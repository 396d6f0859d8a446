/** Runs the CUDA kernels on the host, thread for thread (`build/<preset>/ehrjepa_emulated_test`; a CUDA build has none). */
import { relayTap } from './tap-relay.js';

await relayTap('ehrjepa_emulated_test');
