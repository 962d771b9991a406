/** A peer in a process of its own. Arguments: its name, then addresses of others. Prints its address, then its usage each second. */
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { Membership } from '../../../src/p2p/membership.js';
import { libp2pPeer } from '../../contract/transport/libp2p-peers.js';

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
const [name = 'child', ...others] = process.argv.slice(2);
const transport = await libp2pPeer(name);
const membership = new Membership({ clock: systemClock, log: silentLogger }, transport);
await membership.start();
await transport.start();
transport.addAddresses({ addresses: others });
let last = process.cpuUsage();
let lastMs = performance.now();
say({ id: transport.self.id, address: transport.self.addresses[0] });
setInterval(() => {
  const used = process.cpuUsage(last);
  const cpu = (used.user + used.system) / 1000 / (performance.now() - lastMs);
  last = process.cpuUsage();
  lastMs = performance.now();
  const peers = membership.alive().length;
  say({ cpu, rssMb: process.memoryUsage.rss() / 2 ** 20, peers });
}, 1000);
// Ends with the test that started it.
process.stdin.on('end', () => process.exit());
process.stdin.resume();
