/** Every row that has an implementation. A row that is not here is reported as not yet. */
import type { Rows } from './framework/context.js';
import { rows as chunking } from './api/chunking.js';
import { rows as core } from './api/core.js';
import { rows as discovery } from './api/discovery.js';
import { rows as events } from './api/events.js';
import { rows as fieldValidation } from './api/field-validation.js';
import { rows as kinds } from './api/kinds.js';
import { rows as kubectl } from './api/kubectl.js';
import { rows as watch } from './api/watch.js';

export const ALL: Rows = {
  ...chunking,
  ...core,
  ...discovery,
  ...events,
  ...fieldValidation,
  ...kinds,
  ...kubectl,
  ...watch,
};
