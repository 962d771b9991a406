/**
 * A build of the release after this one: a copy of `dist` in which the formats are bumped. It speaks and writes a second format
 * that this build cannot read, and says something more with its heartbeats.
 */
import { cp, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../harness/lab.js';

const SCRAMBLED = '.map((byte) => byte ^ 0x5a)';

/** Each text occurs once in its file. */
const CHANGES: Readonly<Record<string, readonly (readonly [from: string, to: string])[]>> = {
  'store/formats.js': [['newest: 1 }', 'newest: 2 }']],
  'store/log-entry.js': [
    ['out.set(body, 5)', `out.set(format === 2 ? body${SCRAMBLED} : body, 5)`],
    ['bytes.subarray(5)', `(bytes[0] === 2 ? bytes.subarray(5)${SCRAMBLED} : bytes.subarray(5))`],
  ],
  'store/replication/messages.js': [
    ['pack([format, message])', 'pack(format === 2 ? [format, "next", message] : [format, message])'],
    ['= decoded[1]', '= decoded[0] === 2 ? decoded[2] : decoded[1]'],
  ],
  'agent/mesh.js': [['version: VERSION.gitVersion', 'version: VERSION.gitVersion, build: "next"']],
};

/** Makes it in a folder of its own, which the caller removes. */
export async function makeNextBuild(): Promise<{ readonly folder: string; readonly main: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-next-'));
  await cp(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
  await cp(join(ROOT, 'package.json'), join(folder, 'package.json'));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const [file, changes] of Object.entries(CHANGES)) {
    const path = join(folder, 'dist', file);
    let text = await readFile(path, 'utf8');
    for (const [from, to] of changes) {
      if (text.split(from).length !== 2) throw new Error(`${file} does not have "${from}" once: adapt the changes`);
      text = text.replace(from, to);
    }
    await writeFile(path, text);
  }
  return { folder, main: join(folder, 'dist/cli/main.js') };
}
