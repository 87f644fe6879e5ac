#!/bin/sh
# Puts liblz4 and the headers of liblz4 and libxxhash for 64-bit Arm into the folder DEST, from the machine's own Debian
# mirror; the packages are unpacked, never installed, and the system's package lists stay as they are.
#
# Usage: fetch_aarch64_libraries.sh DEST
set -eu

dest=$1
test ! -e "$dest/usr/lib/aarch64-linux-gnu/liblz4.a" || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v apt-get >/dev/null || { echo "apt-get is needed to fetch Debian's liblz4-dev for arm64" >&2; exit 1; }
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
test -n "$mirror" || { echo "no Debian mirror among this machine's package sources" >&2; exit 1; }

mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
: >"$work/status"
echo "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
set -- -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
  -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
  -o APT::Architecture=arm64 -o APT::Architectures=arm64
apt-get -q "$@" update >&2
(cd "$work" && apt-get -q "$@" download liblz4-dev libxxhash-dev >&2)
for package in "$work"/*.deb; do
  dpkg -x "$package" "$work/root"
done
mkdir -p "$(dirname "$dest")"
rm -rf "$dest"
mv "$work/root" "$dest"
