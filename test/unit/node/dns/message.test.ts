import assert from 'node:assert/strict';
import { decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { decodeQuery } from '../../../../src/node/dns/message.js';

describe('decoding DNS queries', () => {
  const good = encode({ type: 'query', id: 9, questions: [{ name: 'a.example', type: 'A' }] });

  it('never throws, and answers what it refuses with a well-formed reply', () => {
    const arbitrary = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      // A good query with a few bytes changed, and cut somewhere.
      fc
        .tuple(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 5 }), fc.nat(good.length))
        .map(([changes, length]) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of changes) bytes[at] = value;
          return bytes.subarray(0, length);
        }),
    );
    fc.assert(
      fc.property(arbitrary, (bytes) => {
        const decoded = decodeQuery(bytes);
        if (decoded.kind === 'refused') assert.equal(decode(decoded.reply).type, 'response');
        if (decoded.kind === 'query') assert.ok(decoded.query.questionBytes.length >= 5);
      }),
      { numRuns: 3_000 },
    );
  });

  it('answers no responses, so that two servers cannot keep each other busy', () => {
    const response = encode({ type: 'response', id: 9, questions: [{ name: 'a.example', type: 'A' }] });
    assert.equal(decodeQuery(response).kind, 'drop');
    assert.equal(decodeQuery(Buffer.alloc(11)).kind, 'drop');
  });

  it('refuses several questions and other operations', () => {
    const two = encode({
      type: 'query',
      questions: [
        { name: 'a', type: 'A' },
        { name: 'b', type: 'A' },
      ],
    });
    const decoded = decodeQuery(two);
    assert.equal(decoded.kind === 'refused' && decoded.reply.readUInt8(3) & 0xf, 1);
    const update = Buffer.from(good);
    update.writeUInt8(0x28, 2);
    const refused = decodeQuery(update);
    assert.equal(refused.kind === 'refused' && refused.reply.readUInt8(3) & 0xf, 4);
  });
});
