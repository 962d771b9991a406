import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { parseManifests, readManifests } from '../../../src/cli/manifests.js';

describe('manifests', () => {
  const names = (text: string) => parseManifests(text, 'f.yaml').map(({ object }) => object.metadata.name);
  const pod = (name: string) => `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\n`;

  it('come several to a file, with comments and empty documents between', () => {
    assert.deepEqual(names(`# a\n---\n${pod('a')}---\n\n---  # b\n${pod('b')}---\n# end\n`), ['a', 'b']);
    assert.deepEqual(names('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "j"}}'), ['j']);
    assert.deepEqual(names(''), []);
  });

  it('are taken out of lists', () => {
    assert.deepEqual(
      names('apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n'),
      ['a'],
    );
  });

  it('are read by the YAML rules of kubectl', () => {
    const [manifest] = parseManifests(`${pod('a')}data: {yes: on, time: 12:30, date: 2001-01-01}`, 'f');
    assert.deepEqual(manifest && (manifest.object as { data?: unknown }).data, {
      true: true,
      time: '12:30',
      date: '2001-01-01',
    });
  });

  it('are refused in one line that names the file', () => {
    const refusal = (text: string) => {
      try {
        parseManifests(text, 'f.yaml');
      } catch (error) {
        return (error as Error).message;
      }
      return assert.fail('no error');
    };
    assert.match(refusal('a: [b'), /^error parsing f\.yaml: error converting YAML to JSON: yaml: .+$/);
    assert.equal(
      refusal('- a'),
      'error parsing f.yaml: a manifest must be a mapping with apiVersion, kind and metadata',
    );
    assert.equal(
      refusal('metadata: {name: x}'),
      `unable to decode "f.yaml": Object 'Kind' is missing in the document named "x"`,
    );
    assert.equal(refusal('kind: Pod'), `unable to decode "f.yaml": Object 'apiVersion' is missing`);
    assert.match(
      refusal(`${pod('a')}kind: Pod\n`),
      /^error parsing f\.yaml: yaml: unmarshal errors: line 4: key "kind" already set in map$/,
    );
  });

  describe('on disk', () => {
    let dir: string;
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'skein-manifests-'));
      mkdirSync(join(dir, 'below'));
      for (const name of ['b.yaml', 'a.yml', 'below/c.json', 'README.md']) {
        writeFileSync(join(dir, name), name.endsWith('md') ? 'not a manifest' : pod(name.replaceAll(/\W/g, '')));
      }
    });
    afterEach(() => rmSync(dir, { recursive: true }));
    const read = async (path: string, recursive: boolean) =>
      (await readManifests([path], recursive, Readable.from([pod('stdin')]))).map(({ object }) => object.metadata.name);

    it('come from files, directories in order, and standard input', async () => {
      assert.deepEqual(await read(dir, false), ['ayml', 'byaml']);
      assert.deepEqual(await read(dir, true), ['ayml', 'byaml', 'belowcjson']);
      assert.deepEqual(await read('-', false), ['stdin']);
    });

    it('that do not exist are named', async () => {
      await assert.rejects(read(join(dir, 'nope'), false), /^CliError: the path ".*nope" does not exist$/);
    });
  });
});
