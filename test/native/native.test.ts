/** Runs the native tests (`build/<preset>/ehrjepa_test`, TAP) and reports each as a test of its own. */
import { relayTap } from './tap-relay.js';

await relayTap('ehrjepa_test');
