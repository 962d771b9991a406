import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { agentConfigSchema, environmentName } from '../../../src/agent/config.js';
import { CONFIG_DOC_PATH, configurationDocument } from '../../../scripts/generate-config-doc.js';

describe('docs/configuration.md', () => {
  const document = configurationDocument();

  it('is what scripts/generate-config-doc.ts makes of the schema', () => {
    assert.equal(readFileSync(CONFIG_DOC_PATH, 'utf8'), document, 'run: npx tsx scripts/generate-config-doc.ts');
  });

  it('shows every setting with its flag, environment variable and meaning', () => {
    for (const [key, type] of Object.entries(agentConfigSchema.shape)) {
      const row = document.split('\n').find((line) => line.startsWith(`| \`${key}\` |`));
      assert.ok(row, `no row for ${key}`);
      assert.ok(row.includes(environmentName(key)));
      assert.ok(type.description, `${key} is not described in the schema`);
      assert.ok(row.includes(type.description));
    }
  });

  it('does not depend on the machine that made it', () => {
    const row = document.split('\n').find((line) => line.startsWith('| `name` |'));
    assert.match(row ?? '', /the host name/);
  });
});
