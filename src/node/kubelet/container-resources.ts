/** A container's requests and limits as the kernel takes them: the kubelet's figures for Linux. */
import { parseQuantity } from '../../api/quantity.js';
import { qosClassOf } from '../../api/strategy/qos.js';
import type { Container, Pod } from '../../api/types/core-v1.js';
import type { ContainerResources } from '../runtime/runtime.js';

const PERIOD_US = 100_000;
const MIN_QUOTA_US = 1_000;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const SYSTEM_CRITICAL_PRIORITY = 2_000_000_000;
const GUARANTEED_OOM_SCORE = -997;

export function containerResources(pod: Pod, spec: Container, memoryCapacityBytes: number): ContainerResources {
  const { requests = {}, limits = {} } = spec.resources ?? {};
  const cpuLimit = limits['cpu'] === undefined ? 0 : parseQuantity(limits['cpu']).milliValue;
  const cpuRequest = requests['cpu'] === undefined ? cpuLimit : parseQuantity(requests['cpu']).milliValue;
  const quota = cpuLimit === 0 ? 0 : Math.max(MIN_QUOTA_US, Math.floor((cpuLimit * PERIOD_US) / 1000));
  return {
    cpuShares: Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((cpuRequest * 1024) / 1000))),
    cpuQuotaUs: quota,
    cpuPeriodUs: PERIOD_US,
    memoryLimitBytes: limits['memory'] === undefined ? 0 : parseQuantity(limits['memory']).value,
    oomScoreAdj: oomScore(pod, spec, memoryCapacityBytes),
  };
}

function oomScore(pod: Pod, spec: Container, capacityBytes: number): number {
  if ((pod.spec?.priority ?? 0) >= SYSTEM_CRITICAL_PRIORITY) return GUARANTEED_OOM_SCORE;
  const qos = qosClassOf(pod.spec);
  if (qos === 'Guaranteed') return GUARANTEED_OOM_SCORE;
  if (qos === 'BestEffort') return 1000;
  const asked = spec.resources?.requests?.['memory'] ?? spec.resources?.limits?.['memory'] ?? 0;
  const score = Math.floor(1000 - (1000 * parseQuantity(asked).value) / Math.max(1, capacityBytes));
  return Math.min(999, Math.max(1000 + GUARANTEED_OOM_SCORE, score));
}
