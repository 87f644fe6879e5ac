#!/bin/sh
# Puts what Debian 12 compiles and links against (glibc 2.36, libstdc++ of GCC 12, liblz4, libxxhash) for x86_64 or
# aarch64 into the folder DEST. The packages come from this machine's own Debian mirror, or from DEBIAN_MIRROR; they are
# unpacked, never installed, and the system's package lists stay as they are.
#
# Usage: fetch_sysroot.sh ARCH DEST
set -eu

dest=$(realpath -m "$2")
case $1 in x86_64) debian=amd64 ;; aarch64) debian=arm64 ;; *) echo "no Debian packages for $1" >&2; exit 2 ;; esac
test ! -d "$dest" || exit 0
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null || { echo "apt-get is needed to fetch Debian 12's packages for $debian" >&2; exit 1; }
test -e "$keyring" || { echo "install it with: sudo apt-get install -y debian-archive-keyring" >&2; exit 1; }
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)}
test -n "$mirror" || {
  echo "no Debian mirror among this machine's package sources: name one, as DEBIAN_MIRROR=URL make wheel" >&2
  exit 1
}

mkdir -p "$(dirname "$dest")"
work=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
: >"$work/status"
echo "deb [arch=$debian signed-by=$keyring] $mirror bookworm main" >"$work/sources.list"
set -- -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
  -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
  -o APT::Architecture=$debian -o APT::Architectures=$debian
apt-get -q "$@" update >&2
(cd "$work" && apt-get -q "$@" download libc6 libc6-dev linux-libc-dev libgcc-12-dev libgcc-s1 libstdc++-12-dev \
  libstdc++6 liblz4-dev libxxhash-dev >&2)
for package in "$work"/*.deb; do
  dpkg -x "$package" "$work/root"
done
# Links to /lib/... are meant below DEST, not into this machine's own system.
find "$work/root" -type l -lname '/*' | while read -r link; do
  ln -sfnr "$work/root$(readlink "$link")" "$link"
done
chmod 755 "$work/root"
mv "$work/root" "$dest"
