import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCidr } from '../../../../src/base/ipv4.js';
import { vethName } from '../../../../src/node/network/attachment.js';
import { AddressPool } from '../../../../src/node/network/ipam.js';

const cidr = (text: string) => parseCidr(text) ?? assert.fail(text);

describe('the addresses of pods', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skein-ipam-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function pool(): Promise<AddressPool> {
    const made = new AddressPool(directory);
    await made.load();
    return made;
  }

  it('leave out network, gateway and broadcast address, and come to an end', async () => {
    const addresses = await pool();
    const small = cidr('10.244.1.0/29');
    const claimed: string[] = [];
    for (let i = 0; i < 5; i++) claimed.push(await addresses.claim(`s${i}`, small));
    assert.deepEqual(claimed, ['10.244.1.2', '10.244.1.3', '10.244.1.4', '10.244.1.5', '10.244.1.6']);
    await assert.rejects(addresses.claim('one more', small), {
      code: 'ERR_ADDRESSES_EXHAUSTED',
      message: "no free address among the 5 of this node's pod CIDR",
    });
    await assert.rejects(addresses.claim('x', cidr('10.0.0.0/31')), { code: 'ERR_ADDRESSES_EXHAUSTED' });
  });

  it('stay with their sandbox, and are not handed out again at once', async () => {
    const addresses = await pool();
    const network = cidr('10.244.1.0/24');
    const first = await addresses.claim('a', network);
    assert.equal(await addresses.claim('a', network), first);
    assert.equal(addresses.addressOf('a'), first);
    await addresses.release('a');
    await addresses.release('a');
    assert.equal(addresses.addressOf('a'), undefined);
    assert.notEqual(await addresses.claim('b', network), first);
  });

  it('are different ones for claims at the same time', async () => {
    const addresses = await pool();
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, i) => addresses.claim(`s${i}`, cidr('10.244.1.0/24'))),
    );
    assert.equal(new Set(all).size, 50);
  });

  it('outlive a restart, with the place where the round stood', async () => {
    const network = cidr('10.244.1.0/24');
    const before = await pool();
    const kept = await before.claim('kept', network);
    await before.claim('gone', network);
    await before.release('gone');
    await writeFile(join(directory, '.claim-1-0'), 'cut short');
    const after = await pool();
    assert.equal(after.addressOf('kept'), kept);
    assert.deepEqual(after.sandboxes, ['kept']);
    assert.equal(await after.claim('next', network), '10.244.1.4');
    assert.deepEqual((await readdir(directory)).sort(), ['10.244.1.2', '10.244.1.4', 'last-reserved-ip']);
    assert.equal(await readFile(join(directory, '10.244.1.4'), 'utf8'), 'next');
  });

  it('go round', async () => {
    const addresses = await pool();
    const small = cidr('10.244.1.0/29');
    for (let i = 0; i < 5; i++) await addresses.claim(`s${i}`, small);
    await addresses.release('s1');
    assert.equal(await addresses.claim('again', small), '10.244.1.3');
  });

  it('change with the node’s network', async () => {
    const addresses = await pool();
    await addresses.claim('a', cidr('10.244.1.0/24'));
    assert.equal(await addresses.claim('a', cidr('10.244.2.0/24')), '10.244.2.2');
    assert.deepEqual((await readdir(directory)).sort(), ['10.244.2.2', 'last-reserved-ip']);
  });

  it('are left alone that another program holds', async () => {
    const addresses = await pool();
    await writeFile(join(directory, '10.244.1.2'), 'somebody');
    const network = cidr('10.244.1.0/24');
    await assert.rejects(addresses.claim('a', network), { code: 'EEXIST' });
    assert.equal(await addresses.claim('a', network), '10.244.1.3');
    assert.equal(await readFile(join(directory, '10.244.1.2'), 'utf8'), 'somebody');
  });
});

describe('the name of a host interface', () => {
  it('is short, and the same for the same sandbox', () => {
    assert.match(vethName('f'.repeat(64)), /^sk[0-9a-f]{12}$/);
    assert.equal(vethName('a'), vethName('a'));
    assert.notEqual(vethName('a'), vethName('b'));
  });
});
