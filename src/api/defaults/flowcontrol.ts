/** Defaults of FlowSchemas and PriorityLevelConfigurations. In place. */
import type { FlowSchema, PriorityLevelConfiguration } from '../types/flowcontrol-v1.js';

const PRECEDENCE = 1000;
const SHARES = 30;

export function defaultFlowSchema({ spec }: FlowSchema): void {
  if (spec !== undefined) spec.matchingPrecedence ||= PRECEDENCE;
}

export function defaultPriorityLevel({ spec }: PriorityLevelConfiguration): void {
  if (spec === undefined) return;
  if (spec.type === 'Exempt') {
    const exempt = (spec.exempt ??= {});
    exempt.nominalConcurrencyShares ??= 0;
    exempt.lendablePercent ??= 0;
  }
  const { limited } = spec;
  if (limited === undefined) return;
  limited.nominalConcurrencyShares ??= SHARES;
  limited.lendablePercent ??= 0;
  const queuing = limited.limitResponse?.queuing;
  if (queuing === undefined) return;
  queuing.handSize ||= 8;
  queuing.queues ||= 64;
  queuing.queueLengthLimit ||= 50;
}
