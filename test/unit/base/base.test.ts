import assert from 'node:assert/strict';
import fc from 'fast-check';
import { launchedCommand } from '../../../src/base/launcher.js';
import { backoffMs } from '../../../src/base/backoff.js';
import { rfc3339, rfc3339Micro, systemClock } from '../../../src/base/clock.js';
import { runOrThrow, systemCommand, type CommandError } from '../../../src/base/command.js';
import { contains, formatCidr, formatIp, overlaps, parseCidr, parseIp, sizeOf } from '../../../src/base/ipv4.js';
import { ServiceGroup, type Service } from '../../../src/base/lifecycle.js';
import { errorText, silentLogger } from '../../../src/base/log.js';
import { safeSuffix, seededRandom, systemRandom, uuid } from '../../../src/base/random.js';

describe('back-off', () => {
  it('doubles from the base up to the limit, with jitter on top', () => {
    const options = { baseMs: 100, maxMs: 1_000 };
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 100, 1e9].map((n) => backoffMs(n, options)),
      [100, 100, 200, 400, 800, 1_000, 1_000, 1_000],
    );
    assert.equal(backoffMs(3, { ...options, factor: 3 }), 900);
    const random = { ...seededRandom(1), next: () => 0.5 };
    assert.equal(backoffMs(1, { ...options, jitter: 0.5 }, random), 125);
    assert.equal(backoffMs(1, { ...options, jitter: 0.2 }), 100);
  });
});

describe("the machine's clock", () => {
  it('sleeps, and wakes with the reason when told to', async () => {
    const began = systemClock.monotonicMs();
    await systemClock.sleep(15);
    assert.ok(systemClock.monotonicMs() - began >= 14);
    const abort = new AbortController();
    const asleep = systemClock.sleep(60_000, abort.signal);
    abort.abort(new Error('enough'));
    await assert.rejects(asleep, /enough/);
    await assert.rejects(systemClock.sleep(0, abort.signal), /enough/);
  });
  it('runs timers once and intervals until cancelled', async () => {
    let fired = 0;
    const cancel = systemClock.interval(2, () => fired++);
    systemClock.timer(1, () => assert.fail('cancelled'))();
    while (fired < 2) await systemClock.sleep(2);
    cancel();
    cancel();
    const at = fired;
    await systemClock.sleep(10);
    assert.equal(fired, at);
  });
  it('is written as Kubernetes writes times', () => {
    assert.equal(rfc3339(1_767_225_600_999), '2026-01-01T00:00:00Z');
    assert.equal(rfc3339Micro(1_767_225_600_009), '2026-01-01T00:00:00.009000Z');
  });
});

describe('IPv4 arithmetic', () => {
  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.integer({ min: 0, max: 32 }), (ip, prefix) => {
        assert.equal(parseIp(formatIp(ip)), ip);
        const cidr = parseCidr(`${formatIp(ip)}/${prefix}`);
        assert.ok(cidr && contains(cidr, ip) && sizeOf(cidr) === 2 ** (32 - prefix));
        assert.deepEqual(parseCidr(formatCidr(cidr)), cidr);
      }),
    );
  });
  it('refuses what is no address or network', () => {
    for (const text of ['', '1.2.3', '1.2.3.256', '1.2.3.4.5', 'a.b.c.d', '::1', ' 1.2.3.4']) {
      assert.equal(parseIp(text), undefined, text);
    }
    for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0/8', '10.0.0.0/-1']) {
      assert.equal(parseCidr(text), undefined, text);
    }
  });
  it('clears host bits and tells overlaps', () => {
    const cidr = (text: string) => parseCidr(text) ?? assert.fail(text);
    assert.equal(formatCidr(cidr('10.244.3.7/16')), '10.244.0.0/16');
    assert.equal(overlaps(cidr('10.244.0.0/16'), cidr('10.244.9.0/24')), true);
    assert.equal(overlaps(cidr('10.244.9.0/24'), cidr('10.244.0.0/16')), true);
    assert.equal(overlaps(cidr('10.244.8.0/24'), cidr('10.244.9.0/24')), false);
    assert.equal(overlaps(cidr('0.0.0.0/0'), cidr('255.255.255.255/32')), true);
  });
});

describe('randomness', () => {
  it('repeats from its seed and stays in its bounds', () => {
    const draw = (seed: number) => Array.from({ length: 20 }, () => seededRandom(seed).next());
    assert.deepEqual(draw(7), draw(7));
    for (const random of [seededRandom(7), systemRandom]) {
      for (let i = 0; i < 500; i++) {
        assert.ok(random.int(3) < 3);
        const next = random.next();
        assert.ok(next >= 0 && next < 1);
      }
      assert.equal(random.bytes(5).length, 5);
    }
  });
  it('makes names and UUIDs of the right form', () => {
    assert.match(uuid(seededRandom(1)), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.match(safeSuffix(systemRandom), /^[bcdfghjklmnpqrstvwxz2-9]{5}$/);
    assert.equal(safeSuffix(systemRandom, 10).length, 10);
  });
});

for (const [how, command] of [
  ['directly', systemCommand],
  ['through a shell that stays', launchedCommand],
] as const)
  describe(`running programs ${how}`, () => {
    it('gives code, output and errors, whatever the code', async () => {
      const result = await command.run('sh', ['-c', 'cat; echo oops >&2; exit 3'], { input: 'in' });
      assert.deepEqual(result, { code: 3, stdout: 'in', stderr: 'oops\n' });
    });
    it('throws with the program and its words when asked to', async () => {
      assert.equal(await runOrThrow(command, 'echo', ['a b']), 'a b\n');
      await assert.rejects(runOrThrow(command, 'sh', ['-c', 'echo why >&2; exit 2']), (error: CommandError) => {
        assert.equal(error.code, 'ERR_COMMAND_FAILED');
        assert.equal(error.message, 'sh -c echo why >&2; exit 2 ended with 2: why');
        return true;
      });
      await assert.rejects(command.run('no-such-program', []), { code: 'ENOENT' });
    });
    it('kills what takes too long, and does not mind who reads no input', async () => {
      assert.equal((await command.run('sleep', ['60'], { timeoutMs: 20 })).code, -1);
      assert.equal((await command.run('true', [], { input: 'x'.repeat(2 ** 20) })).code, 0);
    });
  });

describe('a group of services', () => {
  const journal: string[] = [];
  const service = (name: string, fails?: 'start' | 'stop'): Service => ({
    name,
    start: () => {
      journal.push(`start ${name}`);
      return fails === 'start' ? Promise.reject(new Error(`${name} cannot`)) : Promise.resolve();
    },
    stop: () => {
      journal.push(`stop ${name}`);
      return fails === 'stop' ? Promise.reject(new Error(`${name} will not`)) : Promise.resolve();
    },
  });
  beforeEach(() => journal.splice(0));

  it('starts in order and stops in reverse, once', async () => {
    const group = new ServiceGroup('all', [service('a'), service('b')], silentLogger);
    await group.start();
    await group.stop();
    await group.stop();
    assert.deepEqual(journal, ['start a', 'start b', 'stop b', 'stop a']);
  });
  it('stops what it started when one cannot', async () => {
    const group = new ServiceGroup('all', [service('a'), service('b', 'start'), service('c')], silentLogger);
    await assert.rejects(group.start(), /b cannot/);
    assert.deepEqual(journal, ['start a', 'start b', 'stop a']);
  });
  it('stops the others when one will not, and says so', async () => {
    const errors: unknown[] = [];
    const log = { ...silentLogger, error: (_: string, fields?: object) => void errors.push(fields) };
    const group = new ServiceGroup('all', [service('a'), service('b', 'stop')], log);
    await group.start();
    await group.stop();
    assert.deepEqual(journal.slice(2), ['stop b', 'stop a']);
    assert.deepEqual(errors, [{ service: 'b', error: 'b will not' }]);
  });
});

describe('the text of an error', () => {
  it('has its causes, unless they are quoted already', () => {
    assert.equal(errorText(new Error('outer', { cause: new Error('inner') })), 'outer: inner');
    assert.equal(errorText(new Error('outer: inner', { cause: new Error('inner') })), 'outer: inner');
    assert.equal(errorText(new TypeError()), 'TypeError');
    assert.equal(errorText('thrown text'), 'thrown text');
    assert.equal(errorText(undefined), 'undefined');
  });
});
