/**
 * How deep a YAML text nests, told from its tokens before anything recursive looks at it: the parser of the `yaml` package calls
 * itself for every level, and a regular expression that V8 compiles at the end of the stack ends the whole process.
 */
import { Lexer } from 'yaml';

/**
 * Whether the text may nest deeper than `limit`: open brackets, plus levels of indentation, plus the indicators of one line. A
 * sequence below a key may stand at the key's own indentation, so a text that passes nests less than `2 * limit + 2` deep. Reads no
 * further than it must.
 */
export function nestsDeeperThan(text: string, limit: number): boolean {
  const indents: number[] = [];
  let brackets = 0;
  let indicators = 0;
  let atLineStart = true;
  let column = 0;
  for (const token of new Lexer().lex(text)) {
    if (atLineStart && !token.endsWith('\n')) {
      if (/^[ \t]+$/.test(token)) {
        column += token.length;
        continue;
      }
      // Marks of the lexer itself take no room.
      if (token.length === 1 && token < ' ') continue;
      atLineStart = false;
      if (brackets === 0) {
        while ((indents.at(-1) ?? -1) >= column) indents.pop();
        indents.push(column);
      }
    }
    if (token === '{' || token === '[') brackets++;
    else if (token === '}' || token === ']') brackets--;
    else if (token === '-' || token === '?' || token === ':') indicators++;
    if (brackets + indents.length + indicators > limit) return true;
    // Line ends, and scalars of several lines.
    if (token.endsWith('\n')) {
      atLineStart = true;
      column = 0;
      indicators = 0;
    }
  }
  return false;
}
