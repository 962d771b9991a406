/** Which built-in resources are views of others, by `group/version/resource`. */
import { EVENTS } from '../resource.js';
import { autoscalerFromV1, autoscalerToV1 } from './autoscaling.js';
import type { Conversion } from './conversion.js';
import { eventFromCore, eventToCore } from './events.js';

const AUTOSCALERS = Object.freeze({
  group: 'autoscaling',
  version: 'v2',
  resource: 'horizontalpodautoscalers',
  kind: 'HorizontalPodAutoscaler',
  namespaced: true,
});

export const BUILT_IN_VIEWS: Readonly<Record<string, Conversion>> = {
  'autoscaling/v1/horizontalpodautoscalers': {
    storage: AUTOSCALERS,
    toStorage: autoscalerFromV1,
    fromStorage: autoscalerToV1,
  },
  'events.k8s.io/v1/events': { storage: EVENTS, toStorage: eventToCore, fromStorage: eventFromCore },
};
