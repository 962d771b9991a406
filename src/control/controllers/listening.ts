import type { Service } from '../../base/lifecycle.js';

/** The service, with a subscription that lives exactly as long as it runs. */
export function listening(service: Service, subscribe: () => () => void): Service {
  let unsubscribe: (() => void) | undefined;
  return {
    name: service.name,
    async start() {
      unsubscribe ??= subscribe();
      await service.start();
    },
    async stop() {
      unsubscribe?.();
      unsubscribe = undefined;
      await service.stop();
    },
  };
}
