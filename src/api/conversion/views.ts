/** Which built-in resources are views of others, by `group/version/resource`. */
import type { Conversion } from './conversion.js';

export const BUILT_IN_VIEWS: Readonly<Record<string, Conversion>> = {};
