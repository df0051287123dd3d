# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# containerd's own view of its configuration, without our drop-in and with the one of the standard input, a line of "="
# between them. $1: the text of config.toml, $2: the directory of the drop-ins, $3: the name of ours.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/conf.d"
for path in "$2"/*.toml; do
  if [ -e "$path" ] && [ "${path##*/}" != "$3" ]; then cp "$path" "$dir/conf.d"; fi
done
printf '%s\n' "$1" | sed "s|$2/|$dir/conf.d/|" > "$dir/config.toml"
containerd --config "$dir/config.toml" config dump
echo =
cat > "$dir/conf.d/$3"
containerd --config "$dir/config.toml" config dump
