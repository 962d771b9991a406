// A load on one URL, to be run on a host: GETs at a steady rate, each on a connection of its own. Arguments: URL, requests
// a second, timeout in milliseconds. At the end of its input it waits for open requests, prints one line of JSON and ends.
import { get } from 'node:http';

const [url, perSecond, timeoutMs] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const notes = [];
let open = 0;
let ending = false;

function finish() {
  if (ending && open === 0) process.stdout.write(`${JSON.stringify(notes)}\n`, () => process.exit());
}

function send() {
  const atMs = Date.now();
  open++;
  let noted = false;
  const note = (status, body, error) => {
    if (noted) return;
    noted = true;
    open--;
    notes.push({ atMs, tookMs: Date.now() - atMs, status, body, error });
    finish();
  };
  const request = get(url, { agent: false, timeout: timeoutMs }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (chunk) => (body += chunk));
    response.on('end', () => note(response.statusCode, body.trim(), ''));
    response.on('error', (error) => note(0, '', error.message));
  });
  request.on('timeout', () => request.destroy(new Error('no answer in time')));
  request.on('error', (error) => note(0, '', error.message));
}

const timer = setInterval(send, 1000 / perSecond);
process.stdin.resume();
process.stdin.on('end', () => {
  clearInterval(timer);
  ending = true;
  finish();
});
