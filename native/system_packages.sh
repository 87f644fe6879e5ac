#!/bin/sh
# Makes sure that the system has what the build needs: a C++20 compiler, liblz4, libxxhash, and Python's venv.
# Installs it on Debian and Ubuntu as root; otherwise prints the one line that does, and fails.
#   system_packages.sh        for the build
#   system_packages.sh fuzz   clang with libFuzzer and the sanitizers
#   system_packages.sh abi    libabigail, which compares C APIs
#   system_packages.sh tests  what tests against a real SSH server want, login shells, and libabigail; without it they skip
set -eu

packages="g++ make git ca-certificates curl liblz4-dev libxxhash-dev python3 python3-venv"

missing_for_build() {
  # A Python from elsewhere (pyenv, conda) brings venv along: only what is missing is asked for.
  command -v g++ >/dev/null || missing="$missing g++"
  for header in lz4.h xxhash.h; do
    echo "#include <$header>" | g++ -E -x c++ - >/dev/null 2>&1 || missing="$missing $header"
  done
  "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
}

missing_for_fuzz() {
  packages="clang libclang-rt-dev"
  apt-cache show libclang-rt-dev >/dev/null 2>&1 || packages="clang"  # Ubuntu 22.04: comes with it
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "${CLANG:-clang++}" -x c++ - -fsanitize=fuzzer,address -o /dev/null 2>/dev/null || missing="clang with libFuzzer"
}

missing_for_abi() {
  packages="abigail-tools"
  command -v abidiff >/dev/null || missing="$missing abidiff"
}

missing_for_tests() {
  packages="openssh-server openssh-client fish tcsh dash abigail-tools"
  { test -x /usr/sbin/sshd && command -v ssh-keygen >/dev/null; } || missing="an SSH server"
  for shell in fish tcsh dash; do
    command -v $shell >/dev/null || missing="$missing $shell"
  done
  command -v abidiff >/dev/null || missing="$missing abidiff"
}

missing=""
case "${1:-build}" in
  build) missing_for_build ;;
  fuzz) missing_for_fuzz ;;
  abi) missing_for_abi ;;
  tests) missing_for_tests ;;
  *) echo "usage: system_packages.sh [build|fuzz|abi|tests]" >&2 && exit 2 ;;
esac
test -n "$missing" || exit 0

echo "missing:$missing" >&2
if command -v apt-get >/dev/null && test "$(id -u)" = 0; then
  apt-get update -q >&2
  # shellcheck disable=SC2086  # the list is words
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages >&2
else
  echo "install it with: sudo apt-get install -y $packages" >&2
  test "${1:-build}" = tests || exit 1
fi
