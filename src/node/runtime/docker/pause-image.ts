/**
 * The image of the sandbox container: one static program of 240 bytes that waits for signals, reaps orphans and ends on
 * SIGTERM. It is carried here because a cluster need not have any registry. Source and build line: `pause/*.S`.
 */
import { pack } from 'tar-stream';
import { Readable } from 'node:stream';

export const PAUSE_REPOSITORY = 'skein/pause';
export const PAUSE_TAG = '1';
export const PAUSE_IMAGE = `${PAUSE_REPOSITORY}:${PAUSE_TAG}`;

const PROGRAMS: Readonly<Record<string, string>> = {
  amd64:
    'f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAHAAAAeAAAAAAAAAB4' +
    'AEAAAAAAAHgAQAAAAAAAeAAAAAAAAAB4AAAAAAAAAAgAAAAAAAAAuA4AAAAx/0iNNWIAAAAx0kG6CAAAAA8FuIAAAABIjT1MAAAAMfYx0kG6' +
    'CAAAAA8Fg/gRdAyD+A90J4P4AnQi69e4PQAAAEjHx/////8x9roBAAAARTHSDwVIg/gAf+Lrt7jnAAAAMf8PBWYPH0QAAAJAAQAAAAAA',
  arm64:
    'f0VMRgIBAQAAAAAAAAAAAAIAtwABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAHAAAAeAAAAAAAAAB4' +
    'AEAAAAAAAHgAQAAAAAAAiAAAAAAAAACIAAAAAAAAAAgAAAAAAAAA6BCA0gAAgNLBAwAQAgCA0gMBgNIBAADUKBGA0iADABABAIDSAgCA0gMB' +
    'gNIBAADUH0QA8cAAAFQfPADxoAEAVB8IAPFgAQBU9P//F4gggNIAAICSAQCA0iIAgNIDAIDSAQAA1B8AAPEs//9U6///F8gLgNIAAIDSAQAA' +
    '1B8gA9UCQAEAAAAAAA==',
};

/** The program for an architecture as Docker names it (`amd64`, `arm64`); undefined for one we have none for. */
export function pauseProgram(architecture: string): Buffer | undefined {
  const encoded = PROGRAMS[architecture];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64');
}

/** The image's root file system as a tar archive. */
export function pauseArchive(program: Buffer): Readable {
  const archive = pack();
  archive.entry({ name: 'pause', mode: 0o755, mtime: new Date(0) }, program);
  archive.finalize();
  return Readable.from(archive);
}
