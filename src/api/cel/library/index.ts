/** All functions of Kubernetes 1.32's expression environments. */
import { FunctionRegistry } from '../functions.js';
import { authorizerLibrary } from './authorizer.js';
import { formatLibrary } from './format.js';
import { listsLibrary, setsLibrary } from './lists.js';
import { networkLibrary, urlLibrary } from './network.js';
import { optionalsLibrary } from './optionals.js';
import { quantityLibrary } from './quantity.js';
import { regexLibrary } from './regex.js';
import { standardLibrary } from './standard.js';
import { stringsLibrary } from './strings.js';

let registry: FunctionRegistry | undefined;

/** Built on first use: most peers never meet an expression. */
export function kubernetesFunctions(): FunctionRegistry {
  registry ??= new FunctionRegistry([
    ...standardLibrary,
    stringsLibrary,
    regexLibrary,
    listsLibrary,
    setsLibrary,
    optionalsLibrary,
    quantityLibrary,
    networkLibrary,
    urlLibrary,
    formatLibrary,
    authorizerLibrary,
  ]);
  return registry;
}
