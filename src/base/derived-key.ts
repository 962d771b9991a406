/** Key pairs that everybody who knows a secret makes alike, so that there is nothing more to hand out or to store. */
import { createECDH, createPrivateKey, hkdfSync, type KeyObject } from 'node:crypto';

/** The order of P-256's base point (SEC 2, 2.4.2). */
const CURVE_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
/** 64 bits more than the order has, so that the remainder is as good as uniform (FIPS 186-5, A.2.1). */
const SCALAR_BYTES = 40;

/** The P-256 private key of that purpose (HKDF, RFC 5869). Another purpose's key says nothing about it. */
export function derivedPrivateKey(secret: Uint8Array, purpose: string): KeyObject {
  const bytes = Buffer.from(hkdfSync('sha256', secret, 'skein', purpose, SCALAR_BYTES));
  const scalar = (BigInt(`0x${bytes.toString('hex')}`) % (CURVE_ORDER - 1n)) + 1n;
  const d = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex');
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(d);
  const point = curve.getPublicKey();
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
    d: d.toString('base64url'),
  };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}
