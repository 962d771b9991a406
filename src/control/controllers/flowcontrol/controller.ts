/**
 * Keeps the FlowSchemas and PriorityLevelConfigurations that every cluster has, and tells in their status which FlowSchemas
 * refer to a level that is not there. What users changed stays theirs once they set `apf.kubernetes.io/autoupdate-spec` to
 * "false"; the mandatory ones are always put right.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Service } from '../../../base/lifecycle.js';
import { withCondition } from '../../../api/conditions.js';
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import {
  AUTO_UPDATE,
  DEFAULT_FLOW_SCHEMAS,
  DEFAULT_PRIORITY_LEVELS,
  isMandatory,
} from '../../../api/flowcontrol/defaults.js';
import type { KubeObject } from '../../../api/object.js';
import { FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS, type ResourceRef } from '../../../api/resource.js';
import type { FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration } from '../../../api/types/flowcontrol-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

const KEY = 'defaults';

interface Specified extends KubeObject {
  readonly spec?: unknown;
}

/** What to write so that `present` is as `wanted`; undefined: nothing. Only fields that `wanted` has are compared. */
export function correction<T extends Specified>(wanted: T, present: T | undefined): T | undefined {
  if (!present) return wanted;
  const { annotations } = present.metadata;
  const keep = isMandatory(present.metadata.name ?? '') || annotations?.[AUTO_UPDATE] === 'true';
  if (!keep || contains(present.spec, wanted.spec)) return undefined;
  return { ...present, spec: wanted.spec };
}

function contains(present: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) {
    if (!Array.isArray(wanted)) return present === wanted;
    return (
      Array.isArray(present) &&
      present.length === wanted.length &&
      wanted.every((item, index) => contains(present[index], item))
    );
  }
  if (typeof present !== 'object' || present === null) return false;
  return Object.entries(wanted).every(([key, value]) => contains((present as Record<string, unknown>)[key], value));
}

/** Whether the schema's level exists, as upstream's condition says it. */
export function danglingCondition(flow: FlowSchema, levels: { has(name: string): boolean }): FlowSchemaCondition {
  const level = flow.spec?.priorityLevelConfiguration.name ?? '';
  const found = levels.has(level);
  const what = `This FlowSchema references the PriorityLevelConfiguration object named "${level}"`;
  return found
    ? { type: 'Dangling', status: 'False', reason: 'Found', message: `${what} and it exists` }
    : { type: 'Dangling', status: 'True', reason: 'NotFound', message: `${what} but there is no such object` };
}

export function flowControlController(deps: SharedDeps): Service {
  const { client, clock } = deps;
  const flows = deps.informers.of<FlowSchema>(FLOWSCHEMAS);
  const levels = deps.informers.of<PriorityLevelConfiguration>(PRIORITYLEVELCONFIGURATIONS);
  const controller = new Controller(deps, { name: 'flowcontrol', waitFor: [flows, levels], reconcile });
  // A cluster with none of them wakes nobody.
  controller.queue.add(KEY);
  const wake = () => controller.queue.add(KEY);
  flows.addHandler({ onUpsert: wake, onDelete: wake });
  levels.addHandler({ onUpsert: wake, onDelete: wake });

  async function reconcile(): Promise<void> {
    for (const level of DEFAULT_PRIORITY_LEVELS) {
      await put(PRIORITYLEVELCONFIGURATIONS, level, levels.get('', level.metadata.name ?? ''));
    }
    for (const flow of DEFAULT_FLOW_SCHEMAS) await put(FLOWSCHEMAS, flow, flows.get('', flow.metadata.name ?? ''));
    for (const flow of flows.list()) await showDangling(flow);
  }

  async function put<T extends Specified>(resource: ResourceRef, wanted: T, present: T | undefined): Promise<void> {
    const write = correction(wanted, present);
    if (!write) return;
    try {
      await (present ? client.update<T>(resource, write) : client.create<T>(resource, write));
    } catch (error) {
      if (!isAlreadyExists(error) && !isNotFound(error)) throw error;
    }
  }

  async function showDangling(flow: FlowSchema): Promise<void> {
    const wanted = danglingCondition(flow, { has: (name) => levels.get('', name) !== undefined });
    const conditions = flow.status?.conditions ?? [];
    const present = conditions.find(({ type }) => type === wanted.type);
    if (
      present &&
      isDeepStrictEqual({ ...present, lastTransitionTime: undefined }, { ...wanted, lastTransitionTime: undefined })
    )
      return;
    const status = { conditions: withCondition(conditions, wanted, clock.nowMs()) };
    try {
      await client.updateStatus<FlowSchema>(FLOWSCHEMAS, { ...flow, status });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return controller;
}
