/** Rules of APIService. */
import { dns1035Label, dns1123Subdomain, portNumber } from '../names.js';
import type { APIService } from '../types/apiregistration-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

export function validateApiService(errors: FieldErrors, { metadata, spec = {} }: Sent<APIService>): void {
  const { group = '', version = '', service } = spec;
  const name = metadata?.name ?? '';
  const required = `${version}.${group}`;
  if (name !== required) {
    errors.invalid('metadata.name', name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(required)}`);
  }
  if (group === '' && version !== 'v1') {
    errors.required('spec.group', 'only v1 may have an empty group and it better be legacy kube');
  }
  if (group !== '') errors.check('spec.group', group, dns1123Subdomain);
  errors.check('spec.version', version, dns1035Label);
  const priority = spec.groupPriorityMinimum ?? 0;
  if (priority <= 0 || priority > 20_000) {
    errors.invalid('spec.groupPriorityMinimum', priority, 'must be positive and less than 20000');
  }
  const versionPriority = spec.versionPriority ?? 0;
  if (versionPriority <= 0 || versionPriority > 1000) {
    errors.invalid('spec.versionPriority', versionPriority, 'must be positive and less than 1000');
  }
  const insecure = spec.insecureSkipTLSVerify === true;
  if (service === undefined) {
    if (spec.caBundle)
      errors.invalid('spec.caBundle', `${spec.caBundle.length} bytes`, 'local APIServices may not have a caBundle');
    if (insecure) {
      errors.invalid('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify');
    }
    return;
  }
  errors.present('spec.service.namespace', service.namespace);
  errors.present('spec.service.name', service.name);
  for (const detail of portNumber(service.port ?? 443)) {
    errors.invalid('spec.service.port', service.port, `port is not valid: ${detail}`);
  }
  if (insecure && spec.caBundle) {
    errors.invalid('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present');
  }
}
