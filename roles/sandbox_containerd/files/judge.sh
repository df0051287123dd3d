# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# containerd's own view of its configuration, without our drop-in and with it, a line of "=" between them.
# $1: containerd, $2: the directory of the drop-ins, $3: the name of ours. The standard input: the text of config.toml, of
# so many lines as $4 says, then our drop-in. They may hold passwords, so they are in no command line.
set -eu
umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/conf.d"
for path in "$2"/*.toml; do
  if [ -e "$path" ] && [ "${path##*/}" != "$3" ]; then cp "$path" "$dir/conf.d"; fi
done
awk -v lines="$4" -v first="$dir/main" -v second="$dir/ours" '{ print > (NR <= lines ? first : second) }'
sed "s|$2/|$dir/conf.d/|" "$dir/main" > "$dir/config.toml"
"$1" --config "$dir/config.toml" config dump
echo '='
mv "$dir/ours" "$dir/conf.d/$3"
"$1" --config "$dir/config.toml" config dump
