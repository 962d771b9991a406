/**
 * Ordered start and stop. A `Service` does nothing in its constructor; `start` may be called once, `stop` at any time
 * and more than once.
 */
import { errorText, type Logger } from './log.js';

export interface Service {
  readonly name: string;
  /** Resolves when the service is usable. A rejection means that nothing is left running. */
  start(): Promise<void>;
  /** Stops and waits for everything it started. Never rejects for being stopped twice. */
  stop(): Promise<void>;
}

/**
 * Starts services in order and stops them in reverse. When one fails to start, those already started are stopped and
 * the failure is thrown. Failures while stopping are logged and do not stop the stopping.
 */
export class ServiceGroup implements Service {
  private readonly started: Service[] = [];

  constructor(
    readonly name: string,
    private readonly services: readonly Service[],
    private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    for (const service of this.services) {
      try {
        await service.start();
      } catch (error) {
        await this.stop();
        throw error;
      }
      this.started.push(service);
    }
  }

  async stop(): Promise<void> {
    for (let service = this.started.pop(); service; service = this.started.pop()) {
      try {
        await service.stop();
      } catch (error) {
        this.log.error('service did not stop cleanly', { service: service.name, error: errorText(error) });
      }
    }
  }
}
