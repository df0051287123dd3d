# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Who refers to each path of the standard input, or to what is below it: "PATH by WHO", a line for the first one found.
# The paths are in no command line of ours while the command lines are searched, so that we do not find ourselves.

# What cannot be looked for is not absent.
if [ -z "$(find "/proc/$$" -maxdepth 1 -name exe -lname '/*' 2>/dev/null)" ]; then
  echo "find on this host cannot tell which executables run: install findutils" >&2
  exit 1
fi
tasks=io.containerd.runtime.v2.task
# A shim works in its bundle, also one of a containerd with roots of its own.
set --
# shellcheck disable=SC2013 # no name there has a blank
for shim in $(grep -lasF containerd-shim /proc/[0-9]*/cmdline); do
  bundle=${shim%/cmdline}/cwd
  set -- "$@" "$bundle/shim-binary-path" "$bundle/options.json" "$bundle/runtime"
done
while IFS= read -r path; do
  [ -n "$path" ] || continue # it would be part of everything
  # The same without the links on the way to it, as the kernel names executables and mounts.
  real=$(readlink -f -- "${path%/*}") && real=$real/${path##*/} || real=$path
  exe=$(find /proc -mindepth 2 -maxdepth 2 -name exe \( -lname "$path" -o -lname "$path/*" -o -lname "$path (deleted)" \
    -o -lname "$real" -o -lname "$real/*" -o -lname "$real (deleted)" \) -print -quit 2>/dev/null)
  if [ -n "$exe" ]; then
    exe=${exe#/proc/}
    printf '%s by process %s\n' "$path" "${exe%/exe}"
    continue
  fi
  # What is mounted there would be removed with it.
  point=$(while read -r _ _ _ _ point _; do
    case $point in "$real" | "$real"/*) printf '%s\n' "$point" && break ;; esac
  done </proc/self/mountinfo)
  if [ -n "$point" ]; then
    printf '%s by the mount on %s\n' "$path" "$point"
    continue
  fi
  # A bundle names its shim, and the runtime that its shim calls. A name that only begins like ours is kept as well.
  # shellcheck disable=SC2062 # what stands unquoted are the files, the pattern comes by the standard input
  found=$(printf '%s\n' "$path" "$real" | grep -lasF -f - /proc/[0-9]*/cmdline \
    /run/containerd/$tasks/*/*/shim-binary-path /run/*/containerd/$tasks/*/*/shim-binary-path \
    /run/containerd/$tasks/*/*/options.json /run/*/containerd/$tasks/*/*/options.json \
    /run/containerd/$tasks/*/*/runtime /run/*/containerd/$tasks/*/*/runtime "$@" | head -n 1)
  [ -z "$found" ] || printf '%s by %s\n' "$path" "$found"
done
exit 0
