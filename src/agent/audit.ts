/** The audit log of this peer's API, where a policy asks for one. */
import type { Service } from '../base/lifecycle.js';
import { join } from 'node:path';
import { AuditLog } from '../control/apiserver/audit/audit-log.js';
import { AuditFile } from '../control/apiserver/audit/log-file.js';
import { readAuditPolicy } from '../control/apiserver/audit/policy.js';
import type { AgentBase } from './base.js';
import type { AgentConfig } from './config.js';

/** Events that wait for a slow disk, in bytes; what comes beyond is dropped and counted. */
const BUFFER_BYTES = 16 * 2 ** 20;

export interface Audit {
  readonly log: AuditLog;
  /** The file; to be started before anything is recorded. */
  readonly file: Service;
}

/** Undefined without a policy. Throws one line when the policy cannot be used. */
export function createAudit({ clock, log, metrics }: AgentBase, config: AgentConfig): Audit | undefined {
  if (config.auditPolicyFile === undefined) return undefined;
  const file = new AuditFile(
    {
      path: config.auditLogPath ?? join(config.dataDir, 'audit.log'),
      maxSizeMegabytes: config.auditLogMegabytes,
      maxBackups: config.auditLogBackups,
      bufferBytes: BUFFER_BYTES,
    },
    log,
    metrics,
  );
  return { log: new AuditLog(clock, readAuditPolicy(config.auditPolicyFile), file), file };
}
