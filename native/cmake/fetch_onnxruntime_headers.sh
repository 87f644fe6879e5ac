#!/bin/sh
# Puts the ONNX Runtime headers into the folder DEST: from upstream's release archive, else from Debian's
# libonnxruntime-dev of a newer suite, unpacked and never installed. The caller checks ORT_API_VERSION.
#
# Usage: fetch_onnxruntime_headers.sh DEST
set -eu

dest=$1
version=1.23.2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

from_release() {
  url="https://github.com/microsoft/onnxruntime/releases/download/v$version/onnxruntime-linux-x64-$version.tgz"
  command -v curl >/dev/null || return 1
  curl --fail --silent --location --connect-timeout 10 --max-time 300 --output "$work/ort.tgz" "$url" || return 1
  tar -xzf "$work/ort.tgz" -C "$work"
}

# Uses the machine's own Debian mirror with private apt folders, so that the system's package lists stay as they are.
from_debian() {
  command -v apt-get >/dev/null || return 1
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  test -n "$mirror" || return 1
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$work/sources.list"
  set -- -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root
  apt-get "$@" update >&2 || return 1
  (cd "$work" && apt-get "$@" download libonnxruntime-dev >&2) || return 1
  dpkg -x "$work"/libonnxruntime-dev_*.deb "$work"
}

echo "fetching ONNX Runtime $version headers" >&2
from_release || from_debian || {
  echo "could not fetch the ONNX Runtime headers: neither the release archive nor Debian's package was reachable" >&2
  exit 1
}
header=$(find "$work" -name onnxruntime_ep_c_api.h | head -n 1)
mkdir -p "$dest"
cp "$(dirname "$header")"/*.h "$dest"/
