#!/usr/bin/env node
import '../base/polyfill.js';
import { homedir } from 'node:os';
import { systemClock } from '../base/clock.js';
import { run } from './program.js';

// A reader that goes away (`skein get pods | head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const code = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  homeDir: homedir(),
  clock: systemClock,
});
// Pipes take their time: leave only when everything is written. Waiting for idle connections would take longer still.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
