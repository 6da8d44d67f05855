#!/bin/sh
# Installs what `npm run bench` measures against, and the sshd that it measures over: Debian's packages.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  rsync lsyncd syncthing unison inotify-tools openssh-server openssh-client iproute2 util-linux tar \
  e2fsprogs xfsprogs btrfs-progs
# The package starts a system-wide sshd where there is an init; the bench runs its own, on loopback only.
