/** A lab of its own, so that these tests and the end-to-end tests may run at the same time. */
process.env['SKEIN_E2E_LAB'] ??= 'kubelet';
