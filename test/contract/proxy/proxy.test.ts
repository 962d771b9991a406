import { proxyContract } from './proxy-contract.js';

if (process.getuid?.() === 0) {
  proxyContract('iptables');
  proxyContract('userspace');
} else {
  describe('a service proxy', () => {
    it.skip('NOT TESTED: network namespaces need root');
  });
}
