import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The project's documents, relative to its root. */
const DOCUMENTS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

const textOf = (document: string) => readFileSync(join(ROOT, document), 'utf8');
/** Code shows what links look like, but has none. */
const withoutCode = (text: string) => text.replaceAll(/^```.*?^```$/gms, '').replaceAll(/`[^`\n]*`/g, '');
const linksIn = (text: string) =>
  [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string);

/** The anchors that GitHub gives to a document's headings. */
function anchorsIn(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of text.replaceAll(/^```.*?^```$/gms, '').matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const plain = (heading as string).replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '');
    const anchor = plain
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** What is wrong with a link; undefined when it leads somewhere. */
function brokenLink(document: string, target: string): string | undefined {
  if (/^(https?:|mailto:)/.test(target)) return undefined;
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? join(ROOT, document) : resolve(ROOT, dirname(document), path);
  if (!existsSync(file)) return `${document}: ${target} does not exist`;
  if (anchor === undefined || extname(file) !== '.md') return undefined;
  return anchorsIn(readFileSync(file, 'utf8')).has(anchor) ? undefined : `${document}: ${target} has no such heading`;
}

describe('the documents', () => {
  it('include those that every reader looks for', () => {
    for (const name of ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/ARCHITECTURE.md', 'docs/api.md']) {
      assert.ok(DOCUMENTS.includes(name), `${name} is missing`);
    }
  });

  for (const document of DOCUMENTS) {
    it(`${document} links only to what exists`, () => {
      const problems = linksIn(textOf(document)).map((target) => brokenLink(document, target));
      assert.deepEqual(
        problems.filter((problem) => problem !== undefined),
        [],
      );
    });

    it(`${document} names only files and npm scripts that exist`, () => {
      const text = textOf(document);
      const paths = [...text.matchAll(/(?<![\w./-])(?:\.\/)?((?:src|scripts|config|test|docs)\/[\w./-]*\w)/g)]
        .map(([, path]) => path as string)
        // Patterns of paths and files to be made are written with <…> or *.
        .filter((path) => !new RegExp(`${path.replaceAll('.', '\\.')}[/.-]?[<*]`).test(text));
      const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
        scripts: Record<string, string>;
      };
      const npm = [...text.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(([, name]) => name as string);
      // A document's links are relative to it; what it names in its text, to the project.
      const missing = paths.filter(
        (path) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, dirname(document), path)),
      );
      assert.deepEqual([...missing, ...npm.filter((name) => !(name in scripts))], []);
    });
  }

  it('the README links to every decision, through docs/adr', () => {
    const decisions = readdirSync(join(ROOT, 'docs/adr')).filter((name) => /^\d{4}-/.test(name));
    const index = textOf('docs/adr/README.md');
    assert.deepEqual(
      decisions.filter((name) => !index.includes(`(${name})`)),
      [],
    );
  });
});
