/** Refuses webhook configurations and policies whose expressions do not compile. */
import { compilePolicyExpression, WEBHOOK_VARIABLES } from '../../../api/cel/policies.js';
import { BOOL } from '../../../api/cel/types.js';
import { invalid, type FieldError } from '../../../api/errors.js';
import type { MatchCondition } from '../../../api/types/admissionregistration-v1.js';
import type { AdmissionPlugin } from '../admission.js';
import { compilePolicy } from './policy.js';

const KINDS = new Set(['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration', 'ValidatingAdmissionPolicy']);

interface WebhookConfiguration {
  readonly webhooks?: readonly { readonly matchConditions?: readonly MatchCondition[] }[];
}

const invalidValue = (field: string, expression: string, message: string): FieldError => ({
  type: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${JSON.stringify(expression)}: ${message}`,
});

function webhookErrors({ webhooks = [] }: WebhookConfiguration, old: WebhookConfiguration | undefined): FieldError[] {
  const errors: FieldError[] = [];
  // What was stored already stays storable.
  const kept = new Set(
    old?.webhooks?.flatMap(({ matchConditions = [] }) => matchConditions.map((one) => one.expression)),
  );
  for (const [i, { matchConditions = [] }] of webhooks.entries()) {
    for (const [j, { expression }] of matchConditions.entries()) {
      if (!expression.trim() || kept.has(expression)) continue;
      const compiled = compilePolicyExpression(expression, WEBHOOK_VARIABLES, [BOOL]);
      if (compiled.ok) continue;
      const message = compiled.issues.length > 0 ? `compilation failed: ${compiled.message}` : compiled.message;
      errors.push(invalidValue(`webhooks[${i}].matchConditions[${j}].expression`, expression, message));
    }
  }
  return errors;
}

export const expressionValidation: AdmissionPlugin = {
  name: 'ExpressionValidation',
  handles: ({ group, kind, operation, subresource }) =>
    group === 'admissionregistration.k8s.io' && operation !== 'DELETE' && subresource === '' && KINDS.has(kind),
  validate({ object, oldObject, kind, group, name }) {
    if (object === undefined) return;
    const errors: FieldError[] = [];
    if (kind === 'ValidatingAdmissionPolicy') {
      compilePolicy(object, ({ field, expression, message }) => errors.push(invalidValue(field, expression, message)));
    } else errors.push(...webhookErrors(object as WebhookConfiguration, oldObject as WebhookConfiguration | undefined));
    if (errors.length > 0) throw invalid({ group, kind }, name, errors);
  },
};
