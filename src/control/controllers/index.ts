export { createControllers, type ControllersOptions } from './all.js';
export type { ApiEndpoint, ApiEndpoints } from './bootstrap/controller.js';
export type { ControllerEnvironment } from './deps.js';
export type { NodeLiveness } from './nodelifecycle/liveness.js';
