/** Admission of pods: service account. */
import { forbidden } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { Pod, PodSpec, ServiceAccount } from '../../api/types/core-v1.js';
import { isPodCreation, type AdmissionPlugin } from './admission.js';

const PODS = { group: '', resource: 'pods' };
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** The spec of the pod being created; the decoder has checked its types. */
const specOf = (object: KubeObject | undefined): PodSpec | undefined => (object as Pod | undefined)?.spec;

/**
 * ServiceAccount: names the `default` account where none is named, requires the account, and takes over its image pull
 * secrets. Token volumes are added only where tokens can be issued, which is another plugin's part.
 */
export const serviceAccountAdmission: AdmissionPlugin = {
  name: 'ServiceAccount',
  handles: isPodCreation,
  admit({ object, namespace, name }, lookups) {
    const spec = specOf(object);
    if (!object || !spec || object.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) return;
    const account = spec.serviceAccountName ?? spec.serviceAccount ?? 'default';
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
    const present = lookups.get('', 'serviceaccounts', namespace, account) as ServiceAccount | undefined;
    if (present === undefined) {
      // The account of a new namespace is made by a controller a moment later; upstream refuses until it is there, and
      // workload controllers retry. `default` carries nothing that a pod would miss here, so pods need not wait for it.
      if (account === 'default') return;
      throw forbidden(
        PODS,
        name,
        `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`,
      );
    }
    const secrets = present.imagePullSecrets ?? [];
    if ((spec.imagePullSecrets ?? []).length === 0 && secrets.length > 0) {
      spec.imagePullSecrets = secrets.map((secret) => ({ ...secret }));
    }
  },
};
