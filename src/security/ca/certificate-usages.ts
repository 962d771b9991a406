/** The names that Kubernetes gives to the uses of a certificate (`certificates.k8s.io/v1 KeyUsage`), as X.509 extensions. */
import { ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension } from '@peculiar/x509';
import type { Extension } from '@peculiar/x509';

const KEY_USAGES: Readonly<Record<string, KeyUsageFlags>> = {
  signing: KeyUsageFlags.digitalSignature,
  'digital signature': KeyUsageFlags.digitalSignature,
  'content commitment': KeyUsageFlags.nonRepudiation,
  'key encipherment': KeyUsageFlags.keyEncipherment,
  'key agreement': KeyUsageFlags.keyAgreement,
  'data encipherment': KeyUsageFlags.dataEncipherment,
  'cert sign': KeyUsageFlags.keyCertSign,
  'crl sign': KeyUsageFlags.cRLSign,
  'encipher only': KeyUsageFlags.encipherOnly,
  'decipher only': KeyUsageFlags.decipherOnly,
};

const EXTENDED_USAGES: Readonly<Record<string, string>> = {
  any: '2.5.29.37.0',
  'server auth': ExtendedKeyUsage.serverAuth,
  'client auth': ExtendedKeyUsage.clientAuth,
  'code signing': ExtendedKeyUsage.codeSigning,
  'email protection': ExtendedKeyUsage.emailProtection,
  's/mime': ExtendedKeyUsage.emailProtection,
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: ExtendedKeyUsage.timeStamping,
  'ocsp signing': ExtendedKeyUsage.ocspSigning,
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3',
  'netscape sgc': '2.16.840.1.113730.4.1',
};

/** Throws for a name that is none. */
export function usageExtensions(usages: readonly string[]): Extension[] {
  let flags = 0;
  const extended = new Set<string>();
  for (const usage of usages) {
    const [flag, identifier] = [KEY_USAGES[usage], EXTENDED_USAGES[usage]];
    if (flag !== undefined) flags |= flag;
    else if (identifier !== undefined) extended.add(identifier);
    else throw new Error(`unrecognized usage values: ${JSON.stringify(usage)}`);
  }
  return [
    ...(flags === 0 ? [] : [new KeyUsagesExtension(flags, true)]),
    ...(extended.size === 0 ? [] : [new ExtendedKeyUsageExtension([...extended])]),
  ];
}
