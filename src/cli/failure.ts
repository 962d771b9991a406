/** What went wrong, in the one line that a user sees, worded as kubectl words it. */
import { ApiError } from '../api/errors.js';
import { isUnreachable, type UnreachableError } from '../client/http-connection.js';

/** An anticipated failure; its message is shown as it is. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'CliError';
  }
}

/** The command line itself makes no sense: exit code 2. */
export class UsageError extends CliError {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, 2, options);
    this.name = 'UsageError';
  }
}

/** Nothing to say beyond what was printed already. */
export class SilentExit extends Error {
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

export interface Failure {
  readonly text: string;
  readonly exitCode: number;
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof CliError) return { text: `error: ${error.message}`, exitCode: error.exitCode };
  if (isUnreachable(error)) return { text: unreachableText(error), exitCode: 1 };
  if (error instanceof ApiError) return { text: apiText(error), exitCode: 1 };
  if (isBrokenStream(error)) return { text: 'error: the connection to the server broke', exitCode: 1 };
  return { text: `error: ${systemText(error)}`, exitCode: 1 };
}

/** An answer that ended in the middle: a log or a watch that was followed. */
const isBrokenStream = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE');

function unreachableText({ host, socketCode, message }: UnreachableError): string {
  if (socketCode === 'ECONNREFUSED') {
    return `The connection to the server ${host} was refused - did you specify the right host or port?`;
  }
  if (/CERT|SELF_SIGNED|ISSUER|SIGNATURE/.test(socketCode)) {
    return `Unable to connect to the server: tls: failed to verify certificate: ${withoutHost(message, host)}`;
  }
  return `Unable to connect to the server: ${message}`;
}

const withoutHost = (message: string, host: string) => message.replace(`${host}: `, '');

function apiText(error: ApiError): string {
  if (error.reason === 'Unauthorized') return 'error: You must be logged in to the server (Unauthorized)';
  if (error.reason === 'Invalid') return invalidText(error);
  return error.reason ? `Error from server (${error.reason}): ${error.message}` : `Error from server: ${error.message}`;
}

function invalidText({ message, details }: ApiError): string {
  if (!details) return message;
  const what =
    details.kind || details.name
      ? `The ${details.kind ?? ''} "${details.name ?? ''}" is invalid`
      : 'The request is invalid';
  const causes = (details.causes ?? []).map(({ field, message: text = '' }) => (field ? `${field}: ${text}` : text));
  if (causes.length === 0) return message || what;
  if (causes.length === 1) return `${what}: ${causes[0]}`;
  return `${what}: \n${causes.map((cause) => `* ${cause}`).join('\n')}`;
}

const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
  ENOTDIR: 'not a directory',
};

/** The words for an `errno` of a file operation: `open web.yaml: no such file or directory`. */
export function systemText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  const words = code === undefined ? undefined : FILE_FAULTS[code];
  if (words !== undefined && path !== undefined) return `${syscall ?? 'open'} ${path}: ${words}`;
  return (error.message || error.name).split('\n')[0] ?? error.name;
}
