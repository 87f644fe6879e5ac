#!/bin/sh
# Runs the tests of memory and read limits under control groups of version 2: a Debian kernel in an emulated machine whose
# root is this machine's own, read-only. Needs root and some minutes; nothing of this machine is changed.
#
# Usage: tests/cgroup2/run.sh [PYTEST-ARGUMENT...]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build/cgroup2
packages="qemu-system-x86 busybox-static cpio e2fsprogs"

missing=""
for tool in qemu-system-x86_64 busybox cpio mkfs.ext4; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
test "$(id -u)" = 0 || { echo "needs root, to let the emulated machine read this one's files" >&2; exit 1; }
if test -n "$missing"; then
  echo "missing:$missing" >&2
  command -v apt-get >/dev/null || { echo "install what Debian calls $packages" >&2; exit 1; }
  apt-get update -q >&2
  # shellcheck disable=SC2086  # the list is words
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages >&2
fi
test -x "$root/.venv/bin/pytest" || { echo "run make setup first" >&2; exit 1; }

mkdir -p "$build"
if ! test -e "$build/kernel/complete"; then
  rm -rf "$build/kernel"
  mkdir -p "$build/kernel"
  image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
  (cd "$build/kernel" && apt-get -q download "$image" >&2 && dpkg -x ./*.deb . && rm ./*.deb)
  version=$(ls "$build/kernel/lib/modules")
  busybox depmod -b "$build/kernel" "$version"
  touch "$build/kernel/complete"
fi
version=$(ls "$build/kernel/lib/modules")

# The first root: busybox, and the modules that reach the disk and this machine's files.
rm -rf "$build/initramfs"
mkdir -p "$build/initramfs/bin" "$build/initramfs/new"
cp "$(command -v busybox)" "$build/initramfs/bin/busybox"
cp "$here/init" "$build/initramfs/init"
modules=$build/kernel/lib/modules/$version
needed() {  # the modules that $1 needs, and itself, in the order to load
  for one in $(sed -n "s|^\([^:]*/$1\.ko\): *|\1 |p" "$modules/modules.dep" | awk '{for (i = NF; i > 0; i--) print $i}'); do
    echo "$one"
  done
}
for module in virtio_pci virtio_blk crc32c_generic ext4 9pnet_virtio 9p; do
  needed "$module"
done | awk '!seen[$0]++' >"$build/initramfs/order"
while read -r file; do
  mkdir -p "$build/initramfs/$(dirname "$file")"
  cp "$modules/$file" "$build/initramfs/$file"
done <"$build/initramfs/order"
(cd "$build/initramfs" && find . | cpio -o -H newc --quiet) >"$build/initramfs.cpio"

rm -f "$build/disk"
truncate -s 3G "$build/disk"
mkfs.ext4 -q "$build/disk"

test $# -gt 0 || set -- tests/test_run_small_machine.py -k "memory or reads" -v
arguments=""
for argument in "$@"; do
  arguments="$arguments '$argument'"
done
mkdir -p "$build/share"
cat >"$build/share/command" <<END
cd '$root' && exec .venv/bin/pytest -p no:cacheprovider -o tmp_path_retention_policy=none $arguments
END
qemu-system-x86_64 -machine pc -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nographic -no-reboot -nodefaults \
  -serial stdio -kernel "$build/kernel/boot/vmlinuz-$version" -initrd "$build/initramfs.cpio" \
  -append "console=ttyS0 quiet panic=-1 lpc_command=$build/share/command" \
  -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=host,mount_tag=host \
  -drive "file=$build/disk,if=virtio,format=raw,cache=none" </dev/null | tee "$build/log"
rm -f "$build/disk"
grep -q '^cgroup2 tests: exit status 0' "$build/log"
