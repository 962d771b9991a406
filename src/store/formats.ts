/**
 * One number for all that replicas say to each other and keep on disk: raised by a release that changes the form or the
 * meaning of a message, a log entry or a record (docs/adr/0020). A build knows a range of them:
 *
 * | what                          | is written in                                                   |
 * |-------------------------------|-----------------------------------------------------------------|
 * | a message to a peer           | the newest format that both builds know                         |
 * | the log and records           | the cluster's *level*: no registered peer's build knows less    |
 * | the disk's own notes          | the first format for ever, so that every build can read the level |
 *
 * What may be added without a new format: a field that older builds ignore. What older builds must not miss needs one.
 */
import { commonVersion, rangeText, type VersionRange } from '../base/version-range.js';

/** What this build knows. A release drops the oldest format no earlier than it is two releases old. */
export const FORMATS: VersionRange = Object.freeze({ oldest: 1, newest: 1 });

/** What builds know that do not say it, and what was written by them. */
export const FIRST_FORMAT = 1;

/** What a peer says of itself when it connects. */
export interface Formats {
  /** What its build knows. */
  readonly formats: VersionRange;
  /** What its cluster writes, as far as it knows. */
  readonly level: number;
}

/** Why two peers cannot work together, said of the other one; undefined when they can. Both come to the same conclusion. */
export function formatRefusal(own: Formats, theirs: Formats): string | undefined {
  const known = `its build of skein knows format ${rangeText(theirs.formats)}`;
  const mine = `this peer's knows ${rangeText(own.formats)}`;
  if (theirs.formats.newest < own.level) return `${known} and the cluster is at level ${own.level}: upgrade it`;
  if (own.formats.newest < theirs.level)
    return `its cluster is at level ${theirs.level} and ${mine}: upgrade this peer`;
  if (commonVersion(own.formats, theirs.formats) !== undefined) return undefined;
  const older = theirs.formats.newest < own.formats.oldest;
  return `${known} and ${mine}: upgrade ${older ? 'it' : 'this peer'}, by a build in between`;
}
