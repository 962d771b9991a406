/** Rules of tolerations: of pods and of RuntimeClasses. */
import { labelValue, qualifiedName } from '../names.js';
import type { Toleration } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function validateTolerations(
  errors: FieldErrors,
  field: string,
  tolerations: readonly Sent<Toleration>[] | undefined,
): void {
  tolerations?.forEach((toleration, index) => {
    const at = `${field}[${index}]`;
    const { key, value, effect, tolerationSeconds } = toleration;
    // An empty operator means Equal.
    const operator = toleration.operator || 'Equal';
    if (key) errors.check(`${at}.key`, key, qualifiedName);
    else if (operator !== 'Exists') {
      errors.invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    }
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      errors.invalid(`${at}.effect`, effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    if (operator === 'Equal') {
      if (value) errors.check(`${at}.operator`, value, labelValue);
    } else if (operator === 'Exists') {
      if (value) errors.invalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'");
    } else errors.notSupported(`${at}.operator`, operator, ['Equal', 'Exists']);
    if (effect) errors.oneOf(`${at}.effect`, effect, EFFECTS);
  });
}
