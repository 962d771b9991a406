/**
 * A machine's containers and files as one process of it sees them. They outlive the process: whatever it calls reaches them at
 * once, but answers and events come back through the process's own clock, so a process that was killed never goes on, and one
 * that is frozen goes on when it thaws.
 */
import type { Clock } from '../base/clock.js';
import type { Pod } from '../api/types/core-v1.js';
import type { Runtime, RuntimeEvent } from '../node/runtime/runtime.js';
import type { DownwardFacts } from '../node/volumes/downward.js';
import { payloadOf, VolumeError } from '../node/volumes/payloads.js';
import type { MountedVolume, PodFiles, PodVolumesDeps } from '../node/volumes/pod-volumes.js';

/** The runtime behind the clock of one process. Streams (logs, exec) are handed through as they are. */
export function runtimeOn(runtime: Runtime, clock: Clock): Runtime {
  const answered = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } finally {
      await clock.sleep(0);
    }
  };
  return new Proxy(runtime, {
    get(target, property) {
      if (property === 'onEvent') {
        return (listener: (event: RuntimeEvent) => void) =>
          target.onEvent((event) => clock.timer(0, () => listener(event)));
      }
      const member: unknown = Reflect.get(target, property);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(member, target, args);
        return result instanceof Promise ? answered(result) : result;
      };
    },
  });
}

/** Files of pods in memory, by pod and name. */
export type FileTable = Map<string, Map<string, string>>;

/**
 * Pods' files without a disk. Volumes made of API objects wait for these objects and fail as on a disk; of service account
 * tokens only the place is there, since signing them takes a time that no simulated clock knows.
 */
export class SimFiles implements PodFiles {
  constructor(
    private readonly files: FileTable,
    private readonly sources: PodVolumesDeps,
  ) {}

  async mount(pod: Pod, facts: DownwardFacts): Promise<ReadonlyMap<string, MountedVolume>> {
    const { objects } = this.sources;
    const tokens = { token: () => Promise.resolve('a token') };
    const present = () => Promise.resolve(undefined);
    const mounted = new Map<string, MountedVolume>();
    for (const volume of pod.spec?.volumes ?? []) {
      try {
        const payload = await payloadOf(volume, { pod, objects, facts, tokens, present });
        const path = `/pods/${pod.metadata.uid ?? ''}/volumes/${volume.name}`;
        mounted.set(volume.name, { path, readOnly: payload !== undefined });
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${text}`, { cause: error });
      }
    }
    return mounted;
  }

  write(uid: string, file: string, text: string): Promise<string> {
    const present = this.files.get(uid) ?? new Map<string, string>();
    this.files.set(uid, present);
    present.set(file, text);
    return Promise.resolve(`/pods/${uid}/${file}`);
  }

  readEnd(path: string, bytes: number): Promise<string> {
    const [, , uid = '', ...file] = path.split('/');
    return Promise.resolve(this.files.get(uid)?.get(file.join('/'))?.slice(-bytes) ?? '');
  }

  clean(uid: string): Promise<void> {
    this.files.delete(uid);
    return Promise.resolve();
  }

  known(): Promise<string[]> {
    return Promise.resolve([...this.files.keys()]);
  }
}
