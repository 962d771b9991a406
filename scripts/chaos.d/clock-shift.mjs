// Loaded into an agent before its program (NODE_OPTIONS=--import …): the wall clock of this one process is off by the number
// of milliseconds that the file named by SKEIN_CHAOS_CLOCK holds, looked at ten times a second. Monotonic time and timers
// go on as ever, as they do when a machine's clock is set.
import { readFileSync } from 'node:fs';

const file = process.env.SKEIN_CHAOS_CLOCK;
const LOOK_MS = 100;

if (file) {
  const RealDate = Date;
  const realNow = Date.now.bind(Date);
  let offsetMs = 0;
  const look = () => {
    try {
      offsetMs = Number(readFileSync(file, 'utf8')) || 0;
    } catch {
      offsetMs = 0;
    }
  };
  look();
  setInterval(look, LOOK_MS).unref();
  RealDate.now = () => realNow() + offsetMs;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [target.now()] : args, newTarget),
    apply: (target) => new target(target.now()).toString(),
  });
}
