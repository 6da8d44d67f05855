#!/usr/bin/env bash
# Installs the Debian packages that the tests run against (sshd, vsftpd, nginx, file systems), if any is missing.
# Does nothing, and needs no root, when all are there.
set -euo pipefail

# command or file that proves it : Debian package
needs=(
  /usr/sbin/sshd:openssh-server
  ssh:openssh-client
  git:git
  rsync:rsync
  curl:curl
  /usr/sbin/vsftpd:vsftpd
  /usr/sbin/nginx:nginx-light
  /usr/sbin/mkfs.ext4:e2fsprogs
  /usr/sbin/mkfs.xfs:xfsprogs
  btrfs:btrfs-progs
  bindfs:bindfs
  getfattr:attr
  jq:jq
  setfacl:acl
  /usr/sbin/setcap:libcap2-bin
  ip:iproute2
  faketime:faketime
)

missing=()
for need in "${needs[@]}"; do
  proof=${need%%:*} package=${need#*:}
  command -v "$proof" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need these Debian packages; as root: apt-get install ${missing[*]}" >&2
  exit 1
fi

echo "Installing what the tests need: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# Nothing installed here may start a service: the tests run their own, on loopback ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
