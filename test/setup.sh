#!/usr/bin/env bash
# Installs what the tests need beyond npm: DHCP clients, a relay, perfdhcp, database servers, capture tools.
#
# Does so only as root on Debian or Ubuntu; anywhere else the tests that need a missing program are skipped, each
# with its reason. Says nothing when all is there, starts no service, and never fails a test run.
set -u

export PATH="$PATH:/usr/sbin:/sbin"

# What to look for, and the packages that may hold it, the first that this release knows being taken.
needs=(
  'ip:iproute2'
  'setpriv:util-linux'
  'udhcpc:udhcpc'
  'dhclient:isc-dhcp-client'
  'dhcrelay:isc-dhcp-relay'
  'dhcpcd:dhcpcd-base,dhcpcd5'
  'perfdhcp:kea-admin,kea-dhcp4-server'
  'kea-dhcp4:kea-dhcp4-server'
  'kea-dhcp6:kea-dhcp6-server'
  'tcpdump:tcpdump'
  'mariadbd:mariadb-server'
  '/usr/lib/galera/libgalera_smm.so:galera-4'
  '/usr/lib/postgresql/*/bin/postgres:postgresql'
)

present() {
  case "$1" in
    /*) compgen -G "$1" > /dev/null ;;
    *) command -v "$1" > /dev/null ;;
  esac
}

missing=()
for need in "${needs[@]}"; do
  present "${need%%:*}" || missing+=("$need")
done
[ ${#missing[@]} -eq 0 ] && exit 0

names=$(for need in "${missing[@]}"; do basename "${need%%:*}"; done | tr '\n' ' ')
if [ "$(id -u)" -ne 0 ]; then
  echo "test setup: not root, so nothing is installed; tests that need ${names% } or network namespaces are skipped"
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "test setup: no apt-get here, so nothing is installed; tests that need ${names% } are skipped"
  exit 0
fi

# Packages of servers start them after the installation. This file, which Debian's policy asks first, forbids it for as
# long as the installation takes. One that the machine has already is put back afterwards, also by the next run when
# this one is killed in the middle: ours is known by its second line.
policy=/usr/sbin/policy-rc.d
kept="$policy.before-lease-ledger-tests"
mark='# lease-ledger test setup'
work=$(mktemp -d)
restore() {
  rm -f "$policy"
  if [ -e "$kept" ] || [ -L "$kept" ]; then mv -f "$kept" "$policy"; fi
  rm -rf "$work"
}
if { [ -e "$policy" ] || [ -L "$policy" ]; } && ! grep -qsxF "$mark" "$policy"; then mv -f "$policy" "$kept"; fi
trap restore EXIT
trap 'exit 0' INT TERM
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
chmod 755 "$policy"

echo "test setup: installing what the tests need for ${names% }"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update > "$work/log" 2>&1 || echo 'test setup: the package lists could not be refreshed; trying with the old ones'
for need in "${missing[@]}"; do
  installed=''
  for package in $(echo "${need#*:}" | tr ',' ' '); do
    if apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$package" \
      > "$work/log" 2>&1 < /dev/null && present "${need%%:*}"; then
      installed=$package
      break
    fi
  done
  if [ -z "$installed" ]; then
    echo "test setup: $(basename "${need%%:*}") could not be installed (${need#*:}); its tests are skipped"
    tail -n 2 "$work/log"
  fi
done
exit 0
