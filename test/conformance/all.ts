/** Every row that has an implementation. A row that is not here is reported as not yet. */
import type { Rows } from './framework/context.js';
import { rows as aggregator } from './agg/aggregator.js';
import { rows as chunking } from './api/chunking.js';
import { rows as core } from './api/core.js';
import { rows as discovery } from './api/discovery.js';
import { rows as events } from './api/events.js';
import { rows as fieldValidation } from './api/field-validation.js';
import { rows as kinds } from './api/kinds.js';
import { rows as kubectl } from './api/kubectl.js';
import { rows as watch } from './api/watch.js';
import { rows as serviceAccounts } from './auth/service-accounts.js';
import { rows as tokenVolumes } from './auth/token-volumes.js';
import { rows as policies } from './cel/policies.js';
import { rows as podCertificates } from './cert/pod-certificates.js';
import { rows as customFieldValidation } from './crd/field-validation.js';
import { rows as definitions } from './crd/lifecycle.js';
import { rows as customOpenapi } from './crd/openapi.js';
import { rows as cronJobs } from './ctrl/cronjobs.js';
import { rows as daemonSets } from './ctrl/daemonsets.js';
import { rows as disruption } from './ctrl/disruption.js';
import { rows as garbageCollection } from './ctrl/garbage-collection.js';
import { rows as jobs } from './ctrl/jobs.js';
import { rows as replicas } from './ctrl/replicas.js';
import { rows as statefulSets } from './ctrl/statefulsets.js';
import { rows as askedWebhooks } from './hook/admission.js';
import { rows as fieldSelectors } from './hook/field-selectors.js';
import { rows as webhooks } from './hook/webhooks.js';
import { rows as namespaces } from './nslife/namespaces.js';
import { rows as limits } from './quota/admission.js';
import { rows as quota } from './quota/quota.js';
import { rows as eviction } from './sched/eviction.js';
import { rows as preemption } from './sched/preemption.js';
import { rows as scheduling } from './sched/scheduling.js';
import { rows as endpoints } from './svcapi/endpoints.js';
import { rows as services } from './svcapi/services.js';

export const ALL: Rows = {
  ...aggregator,
  ...askedWebhooks,
  ...chunking,
  ...core,
  ...cronJobs,
  ...customFieldValidation,
  ...customOpenapi,
  ...daemonSets,
  ...definitions,
  ...discovery,
  ...disruption,
  ...endpoints,
  ...events,
  ...eviction,
  ...fieldSelectors,
  ...fieldValidation,
  ...garbageCollection,
  ...jobs,
  ...kinds,
  ...kubectl,
  ...limits,
  ...namespaces,
  ...podCertificates,
  ...policies,
  ...preemption,
  ...quota,
  ...replicas,
  ...scheduling,
  ...serviceAccounts,
  ...services,
  ...statefulSets,
  ...tokenVolumes,
  ...watch,
  ...webhooks,
};
