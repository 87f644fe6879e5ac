#!/bin/sh
# Finds within seconds how this machine can make a wheel for ARCH that Ubuntu 22.04 can load, and installs as root what
# that needs: the machine's own compiler where a trial library made with it is good, else GCC 12 with Debian 12's
# headers and libraries (native/cmake/debian12.cmake), tried too. Prints the arguments of CMake for it, one a line.
#
# Usage: prepare.sh ARCH, with cmake, ninja and Python's elftools of the wheel's tools first in PATH
set -eu

arch=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

try() {  # try NAME ARGUMENT...: whether the trial library of this configuration may be in a wheel
  out=$work/$1
  shift
  { cmake -S "$here/trial" -B "$out" -G Ninja "$@" && cmake --build "$out"; } >"$out.log" 2>&1 ||
    { cat "$out.log" >>"$work/why"; return 1; }
  python "$here/check_wheel.py" "$out/libtrial.so" 2>>"$work/why"
}

install() {  # install PROGRAM-OR-FILE PACKAGE
  test ! -e "$1" && ! command -v "$1" >/dev/null || return 0
  test "$(id -u)" = 0 || { echo "install it with: sudo apt-get install -y $2" >&2; exit 1; }
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$2" >&2
}

case $arch in x86_64 | aarch64) ;; *) echo "no wheels for $arch: expected x86_64 or aarch64" >&2; exit 2 ;; esac
test "$arch" != "$(uname -m)" || ! try own || exit 0

if test "$arch" = "$(uname -m)"; then package=g++-12; else package=g++-12-$(echo "$arch" | tr _ -)-linux-gnu; fi
install "$arch-linux-gnu-g++-12" "$package"
install /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
"$here/fetch_sysroot.sh" "$arch" "$root/build/sysroot/$arch"
set -- "-DCMAKE_TOOLCHAIN_FILE=$root/native/cmake/debian12.cmake" "-DLPC_WHEEL_ARCH=$arch"
if ! try debian12 "$@"; then
  cat "$work/why" >&2
  echo "this machine cannot make a wheel for $arch that Ubuntu 22.04 can load: see above" >&2
  exit 1
fi
printf '%s\n' "$@"
