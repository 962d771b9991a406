/** The thread that holds the API server's connections: TLS, HTTP and the sending of frames that many answers share. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../../base/clock.js';
import { errorText } from '../../../base/log.js';
import type { TlsMaterial } from '../../../base/tls.js';
import { Listener } from '../http/listener.js';
import { Mailbox, type FromFront, type FrontOptions, type ListenFailure, type ToFront } from './protocol.js';
import { Relay } from './relay.js';

/** Serves until it is told to stop. Throws outside a worker thread. */
async function run(): Promise<void> {
  if (!parentPort) throw new Error('the front runs in a thread of its own');
  const options = workerData as FrontOptions;
  const mailbox = new Mailbox<FromFront>(systemClock, parentPort);
  const relay = new Relay(systemClock, mailbox, options);
  let renew: (tls: TlsMaterial) => void = () => undefined;
  const renewals = {
    onRenewal: (listener: (tls: TlsMaterial) => void) => {
      renew = listener;
      return () => (renew = () => undefined);
    },
  };
  const listener = new Listener(
    systemClock,
    { ...options, renewals },
    {
      request: (request, response) => relay.request(request, response),
      upgrade: (request, socket, head) => relay.upgrade(request, socket, head),
    },
  );
  parentPort.on('message', (messages: readonly ToFront[]) => {
    relay.receive(messages);
    for (const message of messages) {
      if (message[0] === 'renew') renew(message[1]);
      else if (message[0] === 'stop') void listener.stop().then(() => mailbox.post(['stopped']));
    }
  });
  try {
    await listener.start();
    mailbox.post(['listening', listener.address]);
  } catch (error) {
    // An error's own fields (code, address, port) do not travel with it.
    mailbox.post(['refused', { ...(error as ListenFailure), message: errorText(error) }]);
  }
}

await run();
