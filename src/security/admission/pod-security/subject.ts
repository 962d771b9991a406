/** The pod or pod template that is checked, and how findings name its containers. */
import type { DeepReadonly } from '../../../api/object.js';
import type { Container, PodSpec } from '../../../api/types/core-v1.js';

export interface Subject {
  readonly annotations: Readonly<Record<string, string | undefined>>;
  readonly spec: DeepReadonly<PodSpec>;
  /** Init containers, containers, ephemeral containers: what may do something. */
  readonly containers: readonly DeepReadonly<Container>[];
}

export interface Finding {
  readonly reason: string;
  readonly detail: string;
}

/** Undefined where there is nothing to complain of. */
export type Check = (subject: Subject) => Finding | undefined;

export function subjectOf(
  metadata: { readonly annotations?: Readonly<Record<string, string>> } | undefined,
  spec: DeepReadonly<PodSpec>,
): Subject {
  const ephemeral = (spec.ephemeralContainers ?? []) as readonly DeepReadonly<Container>[];
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...ephemeral];
  return { annotations: metadata?.annotations ?? {}, spec, containers };
}

export const quoted = (values: Iterable<string>) => [...values].map((value) => JSON.stringify(value)).join(', ');
export const plural = (one: string, more: string, count: number) => (count === 1 ? one : more);

/** `container "a"`, `containers "a", "b"`. */
export const named = (containers: readonly string[]) =>
  `${plural('container', 'containers', containers.length)} ${quoted(containers)}`;

/** Names of the containers for which the test holds. */
export const those = ({ containers }: Subject, test: (container: DeepReadonly<Container>) => boolean): string[] =>
  containers.filter(test).map(({ name }) => name);

/** `pod and containers "a", "b"`; empty when nobody. */
export const setters = (pod: boolean, containers: readonly string[]): string =>
  [...(pod ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : [])].join(' and ');
