/**
 * A file system of its own for a process container, when the agent is root: in a private mount namespace, an overlay
 * over the image's directory (or the machine's own root) takes what the program writes, and the pod's volumes are bound
 * at their paths. Everything goes away with the namespace.
 */
import type { Mount } from '../runtime.js';

export interface PrivateRoot {
  /** Directory the program sees as `/` underneath its own changes. */
  readonly lower: string;
  /** Existing empty directory for changes and mount points. */
  readonly work: string;
  readonly mounts: readonly Mount[];
  readonly workingDir: string;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** Links are followed inside the root: `/var/run` is one to `/run` on most systems, and must not lead to the machine's. */
const SCRIPT = `
inside() {
  at=; rest=$1/; links=0
  while [ -n "$rest" ]; do
    part=\${rest%%/*}; rest=\${rest#*/}
    case $part in
      ''|.) continue;;
      ..) at=\${at%/*}; continue;;
    esac
    if [ -L "$root$at/$part" ] && [ "$links" -lt 40 ]; then
      links=$((links + 1)); link=$(readlink "$root$at/$part")
      case $link in /*) at=;; esac
      rest=$link/$rest
    else at=$at/$part
    fi
  done
  printf '%s' "$at"
}
work=$1; lower=$2; dir=$3; user=$4; count=$5; shift 5
mkdir -p "$work/upper" "$work/tmp" "$work/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/tmp" "$work/root"
root=$work/root
mkdir -p "$root/proc" "$root/dev" "$root/sys"
mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"; mount --rbind /sys "$root/sys"
while [ "$count" -gt 0 ]; do
  from=$1; to=$root$(inside "$2"); mode=$3; shift 3; count=$((count - 1))
  if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "$(dirname "$to")"; [ -e "$to" ] || : > "$to"; fi
  mount --rbind "$from" "$to"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$to"
done
mkdir -p "$root$dir"
exec chroot $user "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$dir" "$@"
`;

/** The command line that runs `argv` in the private root. Needs unshare of util-linux, chroot, and /bin/sh inside. */
export function inPrivateRoot(root: PrivateRoot, argv: readonly string[]): string[] {
  const user = root.uid === undefined ? '' : `--userspec=${root.uid}:${root.gid ?? root.uid}`;
  return [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    '/bin/sh',
    '-ec',
    SCRIPT,
    'private-root',
    root.work,
    root.lower,
    root.workingDir,
    user,
    String(root.mounts.length),
    ...root.mounts.flatMap((mount) => [mount.hostPath, mount.containerPath, mount.readOnly ? 'ro' : 'rw']),
    ...argv,
  ];
}
