/** DefaultIngressClass: an Ingress that names no class gets the newest default class, if there is one. */
import type { Ingress, IngressClass } from '../../api/types/networking-v1.js';
import type { AdmissionPlugin } from './admission.js';
import { newestDefault } from './default-object.js';

const NETWORKING = 'networking.k8s.io';
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';

export const defaultIngressClass: AdmissionPlugin = {
  name: 'DefaultIngressClass',
  handles: ({ operation, group, resource, subresource }) =>
    operation === 'CREATE' && resource === 'ingresses' && group === NETWORKING && subresource === '',
  admit({ object }, lookups) {
    const { metadata, spec } = object as Ingress;
    if (spec === undefined || spec.ingressClassName !== undefined) return;
    if (metadata.annotations?.[CLASS_ANNOTATION] !== undefined) return;
    const classes = lookups.list(NETWORKING, 'ingressclasses') as readonly IngressClass[];
    const found = newestDefault(classes, [DEFAULT_CLASS]);
    if (found?.metadata.name !== undefined) spec.ingressClassName = found.metadata.name;
  },
};
