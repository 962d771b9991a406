/** Terminals obey control characters, and what is printed comes from objects: shows them as `\x1b` instead. */
export const printable = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (char) =>
    char === '\n' ? '\\n' : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
