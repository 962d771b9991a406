/** Resource arithmetic of the scheduler: CPU in millicores, memory and ephemeral storage in bytes, the rest in units. */
import { parseQuantity, type Quantity } from '../../api/quantity.js';
import type { Container, PodSpec } from '../../api/types/core-v1.js';

type QuantityMap = Readonly<Record<string, string | number>> | undefined;

/** The value of a quantity in its base unit, rounded up. What is not a quantity counts as 0: the API refuses it earlier. */
export function quantityValue(quantity: string | number | undefined): number {
  return read(quantity)?.value ?? 0;
}

function read(quantity: string | number | undefined): Quantity | undefined {
  if (quantity === undefined) return undefined;
  try {
    return parseQuantity(quantity);
  } catch {
    return undefined;
  }
}

/** What upstream's scoring assumes for a container that requests nothing (`NonZeroRequested`). */
const ASSUMED_CPU = 100;
const ASSUMED_MEMORY = 200 * 2 ** 20;

/** An amount of every resource. Mutable on purpose: nodes keep running sums. */
export class Resources {
  cpu = 0;
  memory = 0;
  ephemeralStorage = 0;
  /** Extended resources, huge pages and attachable volumes by name. */
  scalars: Map<string, number> | undefined;
  /** CPU and memory with assumed values for containers that request none: for scoring only. */
  scoredCpu = 0;
  scoredMemory = 0;

  static of(quantities: QuantityMap): Resources {
    const out = new Resources();
    for (const [name, quantity] of Object.entries(quantities ?? {})) {
      if (name === 'cpu') out.cpu = read(quantity)?.milliValue ?? 0;
      else if (name === 'memory') out.memory = quantityValue(quantity);
      else if (name === 'ephemeral-storage') out.ephemeralStorage = quantityValue(quantity);
      else if (name !== 'pods') (out.scalars ??= new Map()).set(name, quantityValue(quantity));
    }
    out.scoredCpu = out.cpu;
    out.scoredMemory = out.memory;
    return out;
  }

  /** Adds (`sign` 1) or takes away (-1). */
  add(other: Resources, sign: 1 | -1 = 1): this {
    this.cpu += sign * other.cpu;
    this.memory += sign * other.memory;
    this.ephemeralStorage += sign * other.ephemeralStorage;
    this.scoredCpu += sign * other.scoredCpu;
    this.scoredMemory += sign * other.scoredMemory;
    if (!other.scalars) return this;
    this.scalars ??= new Map();
    for (const [name, value] of other.scalars) this.scalars.set(name, (this.scalars.get(name) ?? 0) + sign * value);
    return this;
  }

  /** Raises every amount to at least the other's. */
  raiseTo(other: Resources): this {
    this.cpu = Math.max(this.cpu, other.cpu);
    this.memory = Math.max(this.memory, other.memory);
    this.ephemeralStorage = Math.max(this.ephemeralStorage, other.ephemeralStorage);
    this.scoredCpu = Math.max(this.scoredCpu, other.scoredCpu);
    this.scoredMemory = Math.max(this.scoredMemory, other.scoredMemory);
    for (const [name, value] of other.scalars ?? []) {
      this.scalars ??= new Map();
      this.scalars.set(name, Math.max(this.scalars.get(name) ?? 0, value));
    }
    return this;
  }
}

function containerRequests(container: Container): Resources {
  const out = Resources.of(container.resources?.requests);
  if (container.resources?.requests?.['cpu'] === undefined) out.scoredCpu = ASSUMED_CPU;
  if (container.resources?.requests?.['memory'] === undefined) out.scoredMemory = ASSUMED_MEMORY;
  return out;
}

/**
 * The effective requests of a pod: the sum of its containers and sidecars (init containers with `restartPolicy: Always`),
 * at least what any init container needs beside the sidecars started before it, plus the overhead of its runtime class
 * (Kubernetes documentation, "Sidecar Containers", resource sharing). Requests of the pod as a whole replace the sum.
 */
export function podRequests(spec: PodSpec | undefined): Resources {
  const total = new Resources();
  for (const container of spec?.containers ?? []) total.add(containerRequests(container));
  const sidecars = new Resources();
  const initPeak = new Resources();
  for (const container of spec?.initContainers ?? []) {
    const needs = containerRequests(container);
    if (container.restartPolicy === 'Always') {
      total.add(needs);
      sidecars.add(needs);
      initPeak.raiseTo(sidecars);
    } else initPeak.raiseTo(needs.add(sidecars));
  }
  total.raiseTo(initPeak);
  applyPodLevel(total, spec?.resources?.requests);
  if (spec?.overhead) total.add(Resources.of(spec.overhead));
  return total;
}

function applyPodLevel(total: Resources, requests: QuantityMap): void {
  if (!requests) return;
  const whole = Resources.of(requests);
  if (requests['cpu'] !== undefined) total.cpu = total.scoredCpu = whole.cpu;
  if (requests['memory'] !== undefined) total.memory = total.scoredMemory = whole.memory;
  for (const [name, value] of whole.scalars ?? []) (total.scalars ??= new Map()).set(name, value);
}
