import assert from 'node:assert/strict';
import type { KubeObject } from '../../../../src/api/object.js';
import type { ApiResponse } from '../../../../src/control/apiserver/http/exchange.js';
import { LocalFanOut } from '../../../../src/control/apiserver/http/fan-out.js';
import { FlushSchedule } from '../../../../src/control/apiserver/http/flush-schedule.js';
import { WatchChannels, type ChannelReader } from '../../../../src/control/apiserver/http/watch-channel.js';
import { encodeWatchFrame, type WatchEventType } from '../../../../src/control/apiserver/reads/encoding.js';
import { parseSelection } from '../../../../src/control/apiserver/reads/selection.js';
import type { ResourceInfo } from '../../../../src/api/schema/registry.js';
import { registry, setUp } from './setup.js';

describe('watches that are shown the same', () => {
  const configMaps = registry.find('', 'v1', 'configmaps') as ResourceInfo;

  async function start() {
    const { clock, store, client } = await setUp();
    const flushes = new FlushSchedule(clock);
    const sentTo = new Map<ApiResponse, (frames: readonly Buffer[]) => void>();
    const fanOut = () => new LocalFanOut<ApiResponse>(flushes, (response, frames) => sentTo.get(response)?.(frames));
    const channels = new WatchChannels({ store, fanOut });
    const encoded: string[] = [];
    const encode = (type: WatchEventType, object: KubeObject) => {
      encoded.push(object.metadata.name ?? '');
      return encodeWatchFrame(type, object);
    };
    const reader = () => {
      const sent: Buffer[][] = [];
      const errors: number[] = [];
      const response = {} as ApiResponse;
      sentTo.set(response, (frames) => void sent.push([...frames]));
      const one: ChannelReader = {
        response,
        failed: (error) => void errors.push(error.code),
      };
      const names = () =>
        sent.flat().map((line) => (JSON.parse(String(line)) as { object: KubeObject }).object.metadata.name);
      return { one, sent, errors, names };
    };
    const join = (one: ChannelReader, labelSelector = '') =>
      channels.join(configMaps, parseSelection(configMaps, { labelSelector }), 'object', encode, one);
    const create = (name: string, labels: Record<string, string> = {}) =>
      client.create(configMaps, { metadata: { name, namespace: 'default', labels } });
    return { clock, store, join, reader, create, encoded };
  }

  it('look at an event once, and get the same bytes', async () => {
    const { join, reader, create, encoded } = await start();
    const readers = Array.from({ length: 100 }, reader);
    for (const { one } of readers) join(one);
    await create('a');
    assert.deepEqual(encoded, ['a']);
    const [first] = readers;
    for (const { names, sent } of readers) {
      assert.deepEqual(names(), ['a']);
      assert.equal(sent[0]?.[0], first?.sent[0]?.[0]);
    }
  });

  it('give a reader what comes after it joined, and nothing after it left', async () => {
    const { join, reader, create } = await start();
    const [early, late] = [reader(), reader()];
    const place = join(early.one);
    await create('a');
    join(late.one);
    await create('b');
    place.leave();
    await create('c');
    assert.deepEqual(early.names(), ['a', 'b']);
    assert.deepEqual(late.names(), ['b', 'c']);
  });

  it('keep selections apart', async () => {
    const { join, reader, create } = await start();
    const [all, some] = [reader(), reader()];
    join(all.one);
    join(some.one, 'on=1');
    await create('a');
    await create('b', { on: '1' });
    assert.deepEqual(all.names(), ['a', 'b']);
    assert.deepEqual(some.names(), ['b']);
  });

  it('bring a reader up to date out of turn, and send nothing twice', async () => {
    const { clock, join, reader, create } = await start();
    const one = reader();
    const others = Array.from({ length: 40 }, reader);
    for (const other of others) join(other.one);
    const place = join(one.one);
    const creation = create('a');
    place.catchUp();
    await creation;
    place.catchUp();
    await clock.advance(50);
    assert.deepEqual(one.names(), ['a']);
  });

  it('end with everything sent when the history they follow is gone, and can begin anew', async () => {
    const { store, join, reader, create } = await start();
    const one = reader();
    const place = join(one.one);
    await create('a');
    store.compact();
    assert.deepEqual([one.names(), one.errors], [['a'], [410]]);
    place.leave();
    const next = reader();
    join(next.one);
    await create('b');
    assert.deepEqual(next.names(), ['b']);
  });
});
