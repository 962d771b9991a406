/** Which objects a command means: `pods`, `pods,svc`, `pod web db`, `deploy/web svc/web`. */
import { CliError, UsageError } from './failure.js';
import type { ServedResource, ServedResources } from './resources.js';

/** A resource and the names asked for; no names: all of it. */
export interface Target {
  readonly resource: ServedResource;
  readonly names: readonly string[];
}

/** Arguments of `get`, `describe` and `delete`, before discovery. */
export interface TargetWords {
  /** Type (or comma list of types) to names. */
  readonly groups: readonly { readonly type: string; readonly names: readonly string[] }[];
}

/** Takes the arguments apart. Throws a {@link UsageError}; needs no server. */
export function parseTargets(args: readonly string[]): TargetWords {
  if (!args.some((arg) => arg.includes('/'))) {
    const [type, ...names] = args;
    if (type === undefined || type === '') throw new UsageError('you must specify the type of resource, such as pods');
    return { groups: [{ type, names }] };
  }
  const groups: { type: string; names: string[] }[] = [];
  for (const arg of args) {
    const [type = '', name = '', ...more] = arg.split('/');
    if (!arg.includes('/')) {
      throw new UsageError(
        'there is no need to specify a resource type as a separate argument when passing arguments in resource/name form',
      );
    }
    if (type === '' || name === '' || more.length > 0) {
      throw new UsageError(`arguments in resource/name form must have a single resource and name: ${arg}`);
    }
    const last = groups.at(-1);
    if (last?.type === type) last.names.push(name);
    else groups.push({ type, names: [name] });
  }
  return { groups };
}

export function resolveTargets({ groups }: TargetWords, served: ServedResources): Target[] {
  return groups.flatMap(({ type, names }) => {
    const resources = served.require(type);
    if (names.length > 0 && resources.length > 1)
      throw new CliError('you may only specify a single resource type with names');
    return resources.map((resource) => ({ resource, names }));
  });
}

/** `pod`, `deployment.apps`: how one object of a resource is called in messages. */
export function singularOf({ singular, kind, group }: ServedResource): string {
  const name = singular || kind.toLowerCase();
  return group ? `${name}.${group}` : name;
}
