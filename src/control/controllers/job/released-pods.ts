/** Pods whose finalizer was taken off while the cache still shows it: they are counted, and must not be counted again. */
export class ReleasedPods {
  private readonly byJob = new Map<string, Set<string>>();

  of(job: string): ReadonlySet<string> {
    return this.byJob.get(job) ?? NONE;
  }

  add(job: string, uid: string): void {
    let uids = this.byJob.get(job);
    if (!uids) this.byJob.set(job, (uids = new Set()));
    uids.add(uid);
  }

  /** The cache shows it, or it did not happen after all. */
  seen(job: string, uid: string): void {
    const uids = this.byJob.get(job);
    uids?.delete(uid);
    if (uids?.size === 0) this.byJob.delete(job);
  }

  forget(job: string): void {
    this.byJob.delete(job);
  }
}

const NONE: ReadonlySet<string> = new Set();
