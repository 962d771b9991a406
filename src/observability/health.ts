/** Named health checks and the texts that Kubernetes' `/healthz`, `/livez` and `/readyz` give. */

/** Resolves when healthy; throws (or rejects) with the reason when not. */
export type HealthCheck = () => void | Promise<void>;

export interface HealthReport {
  readonly ok: boolean;
  /** 200 or 500. */
  readonly status: 200 | 500;
  readonly body: string;
}

export class HealthChecks {
  private readonly checks = new Map<string, HealthCheck>([['ping', () => undefined]]);

  /** `endpoint` is the name in the last line: `healthz`, `livez`, `readyz`. */
  constructor(private readonly endpoint: string) {}

  /** Adds or replaces a check. */
  set(name: string, check: HealthCheck): void {
    this.checks.set(name, check);
  }

  /** Runs all checks. Healthy and not `verbose`: `ok`; reasons of failures are withheld, as upstream does. */
  async report(
    options: { readonly verbose?: boolean; readonly exclude?: readonly string[] } = {},
  ): Promise<HealthReport> {
    const failed: string[] = [];
    const lines = await Promise.all(
      Array.from(this.checks, async ([name, check]) => {
        if (options.exclude?.includes(name)) return `[+]${name} excluded: ok`;
        try {
          await check();
          return `[+]${name} ok`;
        } catch {
          failed.push(name);
          return `[-]${name} failed: reason withheld`;
        }
      }),
    );
    if (failed.length > 0) {
      return { ok: false, status: 500, body: `${lines.join('\n')}\n${this.endpoint} check failed\n` };
    }
    const body = options.verbose ? `${lines.join('\n')}\n${this.endpoint} check passed\n` : 'ok';
    return { ok: true, status: 200, body };
  }
}
