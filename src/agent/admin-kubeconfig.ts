/** The text of `admin.kubeconfig`, for a client certificate with full rights. */
import type { CertificatePem } from '../security/ca/authority.js';

export function adminKubeconfig(apiUrl: string, caCertPem: string, { certPem, keyPem }: CertificatePem): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return `apiVersion: v1
kind: Config
clusters:
- name: skein
  cluster:
    server: ${apiUrl}
    certificate-authority-data: ${base64(caCertPem)}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: ${base64(certPem)}
    client-key-data: ${base64(keyPem)}
contexts:
- name: kubernetes-admin@skein
  context:
    cluster: skein
    user: kubernetes-admin
current-context: kubernetes-admin@skein
`;
}
