import assert from 'node:assert/strict';
import { containerOf, type InspectedContainer } from '../../../../src/node/runtime/docker/observation.js';
import { resolvConf } from '../../../../src/node/runtime/docker/specification.js';
import { pauseProgram } from '../../../../src/node/runtime/docker/pause-image.js';

const inspected = (state: Partial<InspectedContainer['State']>): InspectedContainer => ({
  Id: 'c1',
  Created: '2026-01-01T00:00:00.5Z',
  Image: 'sha256:1',
  State: {
    Status: 'exited',
    Pid: 0,
    ExitCode: 0,
    OOMKilled: false,
    Error: '',
    StartedAt: '2026-01-01T00:00:01Z',
    FinishedAt: '2026-01-01T00:00:02Z',
    ...state,
  },
  Config: { Labels: {}, Tty: false, OpenStdin: false },
  HostConfig: { NetworkMode: 'none', PidMode: '', IpcMode: '' },
  NetworkSettings: {},
});

describe('docker observations', () => {
  it('tells an end by the memory killer', () => {
    const seen = containerOf(inspected({ ExitCode: 137, OOMKilled: true }));
    assert.equal(seen.reason, 'OOMKilled');
    assert.equal(seen.exitCode, 137);
  });

  it('takes a container whose start failed for exited', () => {
    const seen = containerOf(
      inspected({ Status: 'created', ExitCode: 127, Error: 'no such file', StartedAt: '0001-01-01T00:00:00Z' }),
    );
    assert.deepEqual(
      [seen.state, seen.reason, seen.exitCode, seen.message],
      ['exited', 'ContainerCannotRun', 127, 'no such file'],
    );
    assert.equal(seen.finishedAtMs, seen.createdAtMs);
  });

  it('has no times before the start', () => {
    const zero = '0001-01-01T00:00:00Z';
    const seen = containerOf(inspected({ Status: 'created', StartedAt: zero, FinishedAt: zero }));
    assert.deepEqual([seen.state, seen.startedAtMs, seen.finishedAtMs, seen.reason], ['created', 0, 0, '']);
  });

  it('writes a resolv.conf', () => {
    const dns = { servers: ['10.96.0.10'], searches: ['a.b', 'c'], options: ['ndots:5'] };
    assert.equal(resolvConf(dns), 'search a.b c\nnameserver 10.96.0.10\noptions ndots:5\n');
    assert.equal(resolvConf({ servers: [], searches: [], options: [] }), '');
  });

  it('carries a sandbox program for both architectures', () => {
    for (const architecture of ['amd64', 'arm64']) {
      assert.equal(pauseProgram(architecture)?.subarray(1, 4).toString(), 'ELF');
    }
    assert.equal(pauseProgram('vax'), undefined);
  });
});
