/** How upstream says that nothing is served at a path: it depends on which of its handlers the path comes to. */
import { type ApiError, notFoundPath, PageNotFound } from '../../api/errors.js';
import type { KindRegistry } from '../../api/schema/registry.js';

/** Below a built-in group everything is answered with a `Status`; elsewhere, custom resources' groups included, with text. */
export const unknownPath = (registry: KindRegistry, group: string): ApiError =>
  registry.isBuiltInGroup(group) ? notFoundPath() : new PageNotFound();
