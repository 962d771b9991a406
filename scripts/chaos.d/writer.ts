/**
 * A client that stays with one peer and does one thing at a time, each noted with its outcome: writes fields of objects that all
 * clients share, creates and deletes objects of its own, appends to a Lease (which only a majority may change), reads what it
 * wrote. See {@link Ledger} for what must be there in the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api, Answer } from '../../test/e2e/harness/api.js';
import { registerValue, type Outcome } from '../../src/cli/chaos/registers.js';
import { APPENDS, CONTENDED, LEASE, SHARED, type Ledger } from './ledger.js';

export const NAMESPACE = 'chaos';
export const CONFIG_MAPS = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
export const LEASE_PATH = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/${LEASE}`;
/** Operations a second of one client, when they are answered at once. */
const PER_SECOND = 6;
/** Longer than a peer waits for a sequencer, so that it can say whether anything was done. */
const TIMEOUT_MS = 12_000;
const MAX_TROUBLES = 200;

type Turn = (writer: Writer) => Promise<void>;

export class Writer {
  /** When writes were acknowledged; monotonic, ascending. */
  readonly acknowledgedAtMs: number[] = [];
  readonly counts = { operations: 0, acknowledged: 0, refused: 0, unknown: 0 };
  /** Why outcomes are unknown, and when (monotonic); the last ones. */
  readonly troubles: { readonly atMs: number; readonly text: string }[] = [];
  /** By the names of shared objects, the newest that was told. */
  private readonly versions = new Map<string, number>();
  private number = 0;
  private readonly deletable: string[] = [];

  constructor(
    /** Also the name of its session. */
    readonly name: string,
    private readonly api: Api,
    private readonly ledger: Ledger,
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    for (let turn = 0; !signal.aborted; turn++) {
      const beganMs = performance.now();
      await TURNS[turn % TURNS.length]?.(this);
      const pauseMs = 1000 / PER_SECOND - (performance.now() - beganMs);
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  next(): number {
    return ++this.number;
  }

  /** Sends a write and counts it. */
  private async write(method: string, path: string, body?: unknown, type?: string): Promise<Outcome> {
    this.counts.operations++;
    const outcome = await this.outcomeOf(method, path, body, type);
    this.counts[outcome]++;
    if (outcome === 'acknowledged') this.acknowledgedAtMs.push(performance.now());
    return outcome;
  }

  private async outcomeOf(method: string, path: string, body?: unknown, type?: string): Promise<Outcome> {
    const options = { timeoutMs: TIMEOUT_MS, ...(type === undefined ? {} : { type }) };
    try {
      const answer = await this.api.send(method, path, body, options);
      const { status, text } = answer;
      if (status < 300) {
        if (method === 'PATCH' || method === 'PUT') this.told(answer.body.metadata.name, answer);
        return 'acknowledged';
      }
      // With 503 the API says that it did nothing.
      if (status < 500 || status === 503) return 'refused';
      this.trouble(`${status} ${answer.body?.message ?? text}`);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ECONNREFUSED') return 'refused';
      this.trouble(code ?? message);
    }
    return 'unknown';
  }

  private trouble(text: string): void {
    this.troubles.push({ atMs: performance.now(), text: `${this.name}: ${text}` });
    if (this.troubles.length > MAX_TROUBLES) this.troubles.shift();
  }

  private async read(path: string): Promise<Answer | undefined> {
    const answer = await this.api.send('GET', path, undefined, { timeoutMs: TIMEOUT_MS }).catch(() => undefined);
    return answer?.status === 200 || answer?.status === 404 ? answer : undefined;
  }

  /** The versions of an object that this client is told by its peer only grow. */
  private told(name: string, { body }: Answer): void {
    const version = Number(body?.metadata?.resourceVersion ?? 0);
    const known = this.versions.get(name) ?? 0;
    if (version < known) this.ledger.shownLess(`${this.name} was told version ${version} of ${name} after ${known}`);
    else this.versions.set(name, version);
  }

  /** Writes one field of an object that every client writes: its own, or the one that all want. */
  async field(name: string, field: string): Promise<void> {
    const number = this.next();
    const data = { [field]: registerValue(this.name, number) };
    const outcome = await this.write('PATCH', `${CONFIG_MAPS}/${name}`, { data }, 'application/merge-patch+json');
    this.ledger.fieldWritten(name, field, this.name, number, outcome);
  }

  async readFields(name: string): Promise<void> {
    const expected = this.ledger.expectedField(name, this.name);
    const answer = await this.read(`${CONFIG_MAPS}/${name}`);
    if (!answer) return;
    const violation = expected.violation(answer.body.data?.[this.name]);
    this.ledger.readDone(violation && `${this.name} read ${name}/${this.name}: ${violation}`);
    if (answer.status === 200) this.told(name, answer);
  }

  async create(): Promise<void> {
    const name = `made-${this.name}-${this.next()}`;
    const outcome = await this.write('POST', CONFIG_MAPS, { metadata: { name }, data: { by: this.name } });
    this.ledger.created(name, outcome);
    if (outcome === 'acknowledged') this.deletable.push(name);
  }

  /** Deletes every second one of those it made. */
  async remove(): Promise<void> {
    if (this.deletable.length < 2) return;
    const [name] = this.deletable.splice(0, 2);
    if (name === undefined) return;
    this.ledger.deleting(name);
    if ((await this.write('DELETE', `${CONFIG_MAPS}/${name}`)) === 'acknowledged') this.ledger.deleted(name);
  }

  /** Appends to the Lease by compare-and-set: what was acknowledged must be there for ever, and no append twice. */
  async append(): Promise<void> {
    const answer = await this.read(LEASE_PATH);
    if (answer?.status !== 200) return;
    this.told(LEASE, answer);
    const lease = answer.body;
    const token = `${this.name}-${this.next()}`;
    const present = String(lease.metadata.annotations?.[APPENDS] ?? '');
    const annotations = { ...lease.metadata.annotations, [APPENDS]: present === '' ? token : `${present} ${token}` };
    const outcome = await this.write('PUT', LEASE_PATH, { ...lease, metadata: { ...lease.metadata, annotations } });
    this.ledger.appended(token, outcome);
  }
}

const shared = (number: number) => SHARED[number % SHARED.length] as string;

const TURNS: readonly Turn[] = [
  (writer) => writer.create(),
  (writer) => writer.field(shared(0), writer.name),
  (writer) => writer.append(),
  (writer) => writer.readFields(shared(0)),
  (writer) => writer.field(shared(1), writer.name),
  (writer) => writer.field(shared(0), CONTENDED),
  (writer) => writer.remove(),
  (writer) => writer.readFields(shared(1)),
];
