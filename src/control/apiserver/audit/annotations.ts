/** What the handling of a request adds to its record in the audit log, beside the decision to let it pass. */

type Annotations = Readonly<Record<string, string>>;

/** By the response, which handlers and the audit log both know. */
const added = new WeakMap<object, Annotations>();

export function addAuditAnnotations(response: object, annotations: Annotations): void {
  added.set(response, { ...added.get(response), ...annotations });
}

export const auditAnnotationsOf = (response: object): Annotations => added.get(response) ?? {};
