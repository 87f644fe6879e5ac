#!/bin/sh
# Makes the emulated board's root in DEST: arm64 Debian 12 with sshd and Python, run by qemu's user emulation, that looks
# like a Jetson AGX Orin. Needs root and about five minutes; a finished root is used again.
#
# Usage: make_root.sh DEST
set -eu

dest=$1
here=$(cd "$(dirname "$0")" && pwd)
suite=bookworm
test "$(id -u)" = 0 || { echo "the emulated board needs root: debootstrap and chroot do" >&2; exit 1; }

if ! { command -v debootstrap && command -v qemu-aarch64-static && test -x /usr/sbin/sshd; } >/dev/null; then
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
    debootstrap qemu-user-static openssh-server openssh-client >&2
fi

# The kernel must hand arm64 programs to qemu; where no service registers that, this does.
if test "$(uname -m)" != aarch64; then
  test -e /proc/sys/fs/binfmt_misc/register || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  test -e /proc/sys/fs/binfmt_misc/qemu-aarch64 || cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
fi

if ! test -e "$dest/complete"; then
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  mkdir -p "$dest"
  echo "making the emulated board's root in $dest (about five minutes)" >&2
  test -e "$dest/debootstrap" || test -x "$dest/usr/sbin/sshd" ||
    debootstrap --arch=arm64 --foreign --variant=minbase --include=openssh-server,python3,python3-venv,ca-certificates \
      "$suite" "$dest" ${mirror:+"$mirror"} >&2
  # In a mount namespace of its own: what is mounted into the root is gone whatever ends this.
  test ! -e "$dest/debootstrap" || unshare --mount chroot "$dest" /debootstrap/debootstrap --second-stage >&2
  chroot "$dest" sh -c 'id pilot >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --password "*" pilot'
  touch "$dest/complete"
fi

# What makes it a Jetson: the device tree, the release file, tegrastats and nvpmodel.
tree=$dest/sys/firmware/devicetree/base
mkdir -p "$tree" "$dest/run/sshd" "$dest/home/pilot/.ssh"
printf 'NVIDIA Jetson AGX Orin Developer Kit\0' >"$tree/model"
printf 'nvidia,p3737-0000+p3701-0004\0nvidia,p3701-0004\0nvidia,tegra234\0' >"$tree/compatible"
echo '# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64' >"$dest/etc/nv_tegra_release"
install -m 755 "$here/tegrastats" "$here/nvpmodel" "$dest/usr/bin/"
