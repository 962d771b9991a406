/**
 * The proof that a peer belongs to the cluster: its node name and peer id, signed with the CA's key. Shown at the start of
 * every connection, whose handshake has proved the peer id.
 */
import { createPublicKey, createPrivateKey, sign, verify, X509Certificate } from 'node:crypto';
import { Packr } from 'msgpackr';

export interface MembershipRecord {
  readonly clusterId: string;
  readonly nodeName: string;
  readonly peerId: string;
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export type RecordCheck =
  { readonly ok: true; readonly record: MembershipRecord } | { readonly ok: false; readonly reason: string };

const CONTEXT = Buffer.from('skein membership record v1\0');
const ENCODING = { dsaEncoding: 'ieee-p1363' } as const;
const packr = new Packr({ useRecords: false, variableMapSize: true });
/** How far a peer's clock may be behind the one that signed. */
const SKEW_MS = 10 * 60_000;

/** Signs a record; the result carries record and signature. */
export function signMembership(caKeyPem: string, record: MembershipRecord): Uint8Array {
  const payload = packr.pack(record);
  const signature = sign('sha256', Buffer.concat([CONTEXT, payload]), { key: createPrivateKey(caKeyPem), ...ENCODING });
  return packr.pack([1, payload, signature]);
}

/** Checks the signature, the times, and that the record is of this cluster and about that peer. */
export function checkMembership(
  caCertPem: string,
  signed: Uint8Array,
  expected: { readonly clusterId: string; readonly peerId: string; readonly nowMs: number },
): RecordCheck {
  const refuse = (reason: string) => ({ ok: false as const, reason });
  let record: MembershipRecord;
  try {
    const [version, payload, signature] = packr.unpack(signed) as [number, Uint8Array, Uint8Array];
    if (version !== 1) return refuse(`its membership record has the unknown version ${String(version)}`);
    const key = createPublicKey(new X509Certificate(caCertPem).publicKey.export({ format: 'pem', type: 'spki' }));
    if (!verify('sha256', Buffer.concat([CONTEXT, payload]), { key, ...ENCODING }, signature))
      return refuse("its membership record is not signed by this cluster's CA");
    record = packr.unpack(payload) as MembershipRecord;
  } catch {
    return refuse('its membership record cannot be read');
  }
  if (record.clusterId !== expected.clusterId) return refuse('its membership record is of another cluster');
  if (record.peerId !== expected.peerId) return refuse('its membership record is about another peer');
  if (expected.nowMs < record.notBeforeMs - SKEW_MS) return refuse('its membership record is not valid yet');
  if (expected.nowMs > record.notAfterMs) return refuse('its membership record has expired');
  return { ok: true, record };
}
