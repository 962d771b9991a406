import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../../../src/base/log.js';
import { noMetrics } from '../../../../../src/base/metrics.js';
import { AuditFile } from '../../../../../src/control/apiserver/audit/log-file.js';
import type { AuditEvent } from '../../../../../src/control/apiserver/audit/event.js';

const event = (auditID: string): AuditEvent => ({
  kind: 'Event',
  apiVersion: 'audit.k8s.io/v1',
  level: 'Metadata',
  auditID,
  stage: 'ResponseComplete',
  requestURI: `/${'x'.repeat(4000)}`,
  verb: 'get',
  user: {},
  sourceIPs: [],
  requestReceivedTimestamp: '',
  stageTimestamp: '',
});

describe('the audit file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-audit-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = async (name: string) => {
    const options = { path: join(folder, name), maxSizeMegabytes: 1, maxBackups: 2, bufferBytes: 64 * 2 ** 20 };
    const file = new AuditFile(options, silentLogger, noMetrics);
    await file.start();
    return file;
  };

  it('holds one JSON document a line, and goes on where it was after a restart', async () => {
    for (const id of ['a', 'b']) {
      const file = await open('audit.log');
      file.write(event(id));
      await file.stop();
    }
    const lines = (await readFile(join(folder, 'audit.log'), 'utf8')).trim().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as AuditEvent).auditID),
      ['a', 'b'],
    );
  });

  it('puts full files aside and keeps only so many of them', async () => {
    const file = await open('audit.log');
    for (let i = 0; i < 1500; i++) file.write(event(String(i)));
    await file.stop();
    const logs = (await readdir(folder)).filter((name) => name.includes('audit.log') && !name.endsWith('.txt'));
    assert.ok(logs.length >= 2 && logs.length <= 3, logs.join());
    const newest = (await readFile(join(folder, 'audit.log'), 'utf8')).trim().split('\n').at(-1) ?? '';
    assert.equal((JSON.parse(newest) as AuditEvent).auditID, '1499');
  });

  it('says at once when the file cannot be opened', async () => {
    await assert.rejects(open('missing/\0/audit.log'));
  });
});
