#!/bin/sh
# Builds the wheel for x86_64 or aarch64 into dist/, and checks it: nothing newer than the glibc and libstdc++ of
# Ubuntu 22.04 (JetPack 6), liblz4 inside, no ONNX Runtime inside. Needs the virtual environment of `make setup`.
#
# Usage: make_wheel.sh ARCH [FOLDER]
set -eu

arch=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
dist=${2:-$root/dist}
bin=$root/.venv/bin
platform=manylinux_2_35_$arch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

if test "$arch" != "$(uname -m)"; then
  test "$arch" = aarch64 || { echo "cannot build for $arch on $(uname -m)" >&2; exit 1; }
  if ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    test "$(id -u)" = 0 || { echo "install it with: sudo apt-get install -y g++-aarch64-linux-gnu" >&2; exit 1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends g++-aarch64-linux-gnu >&2
  fi
  native/wheel/fetch_aarch64_libraries.sh build/aarch64-libraries
  export _PYTHON_HOST_PLATFORM=linux-$arch CMAKE_ARGS="-DCMAKE_TOOLCHAIN_FILE=$root/native/cmake/aarch64.cmake"
fi

PATH=$bin:$PATH
export PATH
python -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work" \
  --config-settings=cmake.define.LPC_STATIC_LZ4=ON .
python native/wheel/check_wheel.py "$work"/*.whl
auditwheel repair --plat auto --only-plat --wheel-dir "$work/checked" "$work"/*.whl >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }
test -e "$work"/checked/*"-$platform.whl" || { echo "expected a wheel for $platform: $(ls "$work/checked")" >&2; exit 1; }
mkdir -p "$dist"
mv "$work"/checked/*.whl "$dist"/
echo "$dist"/lpc_edge_runtime-*"-$platform.whl"
