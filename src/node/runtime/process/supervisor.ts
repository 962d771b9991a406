/**
 * The supervisor of one process container: a detached Node.js process that outlives the agent, so that an agent that
 * starts again adopts what runs. It starts the program in a session of its own, writes its output as lines
 * `<time> <stream> F <text>` (the CRI's log format; one old file is kept), and the state file atomically: once when the
 * program runs or could not be started, once when it ended. What the program leaves behind in its session is killed, as
 * the end of a PID namespace would.
 *
 * It is source text because it must run under plain `node -e`, whatever way the agent itself was loaded.
 */

/** What the supervisor is told, as JSON in its first argument. */
export interface SupervisorOrder {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly openStdin: boolean;
  readonly statePath: string;
  readonly logPath: string;
  /** Size in bytes at which the log file is set aside. */
  readonly maxLogBytes: number;
}

/** The state file. */
export interface SupervisedState {
  readonly supervisorPid: number;
  readonly pid: number;
  /** Start time of `pid` in clock ticks since boot: tells it from a later process of the same number. */
  readonly pidStart: string;
  readonly startedAtMs: number;
  /** 0 while it runs. */
  readonly finishedAtMs: number;
  readonly exitCode: number;
  /** Why it could not be started; empty otherwise. */
  readonly startError: string;
}

export const SUPERVISOR_SOURCE = `
const fs = require('fs');
const os = require('os');
const { spawn } = require('child_process');
const order = JSON.parse(process.argv[1]);
let state = { supervisorPid: process.pid, pid: 0, pidStart: '', startedAtMs: +new Date, finishedAtMs: 0, exitCode: 0, startError: '' };
const save = (change) => {
  state = { ...state, ...change };
  fs.writeFileSync(order.statePath + '.tmp', JSON.stringify(state));
  fs.renameSync(order.statePath + '.tmp', order.statePath);
};
const tell = () => { try { fs.writeSync(1, 'ready'); fs.closeSync(1); } catch {} };
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
let log = fs.openSync(order.logPath, 'a');
let logged = 0;
const write = (stream, text) => {
  const line = (new Date).toISOString() + ' ' + stream + ' F ' + text + '\\n';
  fs.writeSync(log, line);
  logged += Buffer.byteLength(line);
  if (logged < order.maxLogBytes) return;
  fs.closeSync(log);
  fs.renameSync(order.logPath, order.logPath + '.1');
  log = fs.openSync(order.logPath, 'a');
  logged = 0;
};
const child = spawn(order.argv[0], order.argv.slice(1), {
  cwd: order.cwd, env: order.env, detached: true, uid: order.uid, gid: order.gid,
  stdio: [order.openStdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
});
child.on('error', (error) => {
  if (child.pid !== undefined) return;
  save({ startError: error.message, exitCode: 128, finishedAtMs: +new Date });
  tell();
});
if (child.pid !== undefined) {
  let pidStart = '';
  try { pidStart = fs.readFileSync('/proc/' + child.pid + '/stat', 'utf8').replace(/^.*\\) /s, '').split(' ')[19]; } catch {}
  for (const name of ['stdout', 'stderr']) {
    let rest = '';
    child[name].setEncoding('utf8');
    child[name].on('data', (chunk) => {
      const lines = (rest + chunk).split('\\n');
      rest = lines.pop();
      for (const line of lines) write(name, line);
      if (rest.length > 65536) { write(name, rest); rest = ''; }
    });
    child[name].on('end', () => { if (rest !== '') write(name, rest); });
  }
  child.on('exit', () => { try { process.kill(-child.pid, 'SIGKILL'); } catch {} });
  child.on('close', (code, signal) => {
    save({ exitCode: code === null ? 128 + (os.constants.signals[signal] || 0) : code, finishedAtMs: +new Date });
    process.exit(0);
  });
  save({ pid: child.pid, pidStart });
  tell();
}
`;
