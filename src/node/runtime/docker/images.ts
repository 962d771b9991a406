/** Images as the engine keeps them. */
import type { Readable } from 'node:stream';
import { RuntimeError, type Image } from '../runtime.js';
import { jsonLines, type DockerEngine } from './engine.js';
import { PAUSE_IMAGE, PAUSE_REPOSITORY, PAUSE_TAG, pauseArchive, pauseProgram } from './pause-image.js';

interface InspectedImage {
  readonly Id: string;
  readonly RepoTags: readonly string[] | null;
  readonly RepoDigests: readonly string[] | null;
  readonly Size: number;
  readonly Config?: { readonly User?: string } | null;
}

export class DockerImages {
  constructor(private readonly engine: DockerEngine) {}

  async status(reference: string): Promise<Image | undefined> {
    try {
      const seen = await this.engine.json<InspectedImage>('GET', `/images/${encodeReference(reference)}/json`);
      return imageOf(seen);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** All images but the runtime's own. The engine's list has no users: they are empty here. */
  async list(): Promise<readonly Image[]> {
    const seen = await this.engine.json<InspectedImage[]>('GET', '/images/json');
    return seen.map(imageOf).filter((image) => !image.tags.includes(PAUSE_IMAGE));
  }

  async pull(reference: string, auth: { username: string; password: string } | undefined): Promise<Image> {
    const { repository, tag } = splitReference(reference);
    const stream = await this.engine.stream('POST', '/images/create', {
      query: { fromImage: repository, tag },
      code: 'ERR_IMAGE_PULL',
      ...(auth ? { registryAuth: { ...auth, serveraddress: registryOf(repository) } } : {}),
      // The head of the answer comes after the registry was asked.
      extraTimeMs: 60_000,
    });
    await finish(stream, 'ERR_IMAGE_PULL');
    const image = await this.status(reference);
    if (!image) throw new RuntimeError('ERR_IMAGE_PULL', `image "${reference}" is absent after its pull`);
    return image;
  }

  async remove(id: string): Promise<void> {
    const image = await this.status(id);
    if (!image) return;
    // An id with several tags is refused: each tag is taken off, the last takes the image along.
    const names = image.tags.length > 0 ? image.tags : [image.id];
    for (const name of names) {
      await this.engine.json('DELETE', `/images/${encodeReference(name)}`).catch((error: unknown) => {
        if (!isAbsent(error)) throw error;
      });
    }
  }

  async load(archive: Readable): Promise<readonly string[]> {
    const stream = await this.engine.stream('POST', '/images/load', {
      file: archive,
      query: { quiet: true },
      // Reading the archive is bounded by whoever sends it; the limit is for an engine that hangs.
      extraTimeMs: 30 * 60_000,
    });
    const tags: string[] = [];
    for (const line of await finish(stream, 'ERR_RUNTIME')) {
      const loaded = /^Loaded image(?: ID)?: (\S+)/.exec(line);
      if (loaded?.[1] !== undefined) tags.push(loaded[1]);
    }
    return tags;
  }

  /** Imports a root file system as an image; does nothing beyond what the engine does for an import. */
  async import(archive: Readable, repository: string, tag: string): Promise<void> {
    const query = { fromSrc: '-', repo: repository, tag };
    await finish(await this.engine.stream('POST', '/images/create', { file: archive, query }), 'ERR_RUNTIME');
  }

  save(reference: string): Promise<Readable> {
    return this.engine.stream('GET', `/images/${encodeReference(reference)}/get`, { code: 'ERR_IMAGE_MISSING' });
  }

  /** Makes sure that the sandbox's image is there. */
  async ensurePause(architecture: string): Promise<void> {
    if (await this.status(PAUSE_IMAGE)) return;
    const program = pauseProgram(architecture);
    if (!program) throw new RuntimeError('ERR_SANDBOX', `no sandbox image for the architecture ${architecture}`);
    await this.import(pauseArchive(program), PAUSE_REPOSITORY, PAUSE_TAG);
  }
}

function imageOf(seen: InspectedImage): Image {
  return {
    id: seen.Id,
    tags: (seen.RepoTags ?? []).filter((tag) => tag !== '<none>:<none>'),
    digests: (seen.RepoDigests ?? []).filter((digest) => digest !== '<none>@<none>'),
    sizeBytes: seen.Size,
    user: seen.Config?.User ?? '',
  };
}

/** Reads a progress stream to its end: the engine reports failures inside of it. Returns the plain messages. */
async function finish(stream: Readable, code: 'ERR_IMAGE_PULL' | 'ERR_RUNTIME'): Promise<string[]> {
  const messages: string[] = [];
  for await (const line of jsonLines(stream)) {
    if (typeof line !== 'object' || line === null) continue;
    if ('error' in line) throw new RuntimeError(code, String(line.error));
    if ('stream' in line) messages.push(String(line.stream));
  }
  return messages;
}

function isAbsent(error: unknown): boolean {
  return error instanceof RuntimeError && (error.code === 'ERR_NOT_FOUND' || error.code === 'ERR_IMAGE_MISSING');
}

/** Slashes stay: the engine's routes take the rest of the path as the name. */
function encodeReference(reference: string): string {
  return reference.split('/').map(encodeURIComponent).join('/');
}

/** Without a tag the engine would pull every tag there is. */
function splitReference(reference: string): { repository: string; tag: string } {
  const at = reference.indexOf('@');
  if (at >= 0) return { repository: reference.slice(0, at), tag: reference.slice(at + 1) };
  const colon = reference.lastIndexOf(':');
  if (colon > reference.lastIndexOf('/'))
    return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
  return { repository: reference, tag: 'latest' };
}

/** The registry's name in a reference, as the engine looks up credentials (Docker Hub's is a URL for history's sake). */
function registryOf(repository: string): string {
  const first = repository.split('/')[0] ?? '';
  const isHost = repository.includes('/') && (/[.:]/.test(first) || first === 'localhost');
  return isHost && first !== 'docker.io' ? first : 'https://index.docker.io/v1/';
}
