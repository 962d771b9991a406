import assert from 'node:assert/strict';
import { skein } from '../terminal.js';

describe('skein chaos', function () {
  // The first one compiles the command line.
  this.timeout(60_000);

  it('does nothing unless told what', async () => {
    assert.deepEqual(await skein(['chaos']), {
      code: 2,
      out: '',
      err: 'error: say what is to happen: --kill-peer, --cut-peer or --pause-peer\n',
    });
  });

  it('refuses times and seeds that are none', async () => {
    for (const [flag, value] of [
      ['--every', 'often'],
      ['--for', '0'],
      ['--down', '-1s'],
      ['--seed', 'x'],
    ] as const) {
      const { code, err } = await skein(['chaos', '--kill-peer', `${flag}=${value}`]);
      assert.equal(code, 2);
      assert.match(err, new RegExp(flag));
    }
  });

  it('says that there is no cluster', async () => {
    const { code, err } = await skein(['chaos', '--kill-peer']);
    assert.equal(code, 1);
    assert.match(err, /no cluster to talk to/);
  });
});
