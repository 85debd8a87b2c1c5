#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages that penumbra needs and this machine lacks; says what it does, does nothing when nothing
# is missing.
#   tools/setup.sh [--check|--bench]   also what `make check` or `make bench` need
set -eu

cd "$(dirname "$0")/.."
kinds='build|test'
[ "${1:-}" = --check ] && kinds='build|test|check'
[ "${1:-}" = --bench ] && kinds='build|bench'
wanted=$(awk -v kinds="(^|,)($kinds)(,|\$)" '!/^#/ && $2 ~ kinds { print $1 }' tools/packages.txt)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  for tool in cc meson ninja pkg-config; do
    command -v $tool >/dev/null && continue
    echo "penumbra: '$tool' is missing, and this system has no apt-get to install it with." >&2
    echo "Install what tools/packages.txt lists by the means of this system, then try again." >&2
    exit 1
  done
  exit 0 # meson names any library that it does not find
fi

missing=
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null || true)
for package in $wanted; do
  case "
$installed
" in
  *"
$package installed
"*) ;;
  *) missing="$missing $package" ;;
  esac
done
[ -z "$missing" ] && exit 0

echo "penumbra: installing with apt-get:$missing"
as_root=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "penumbra: not root, and there is no sudo. As root, run:  apt-get install$missing" >&2
    exit 1
  fi
  as_root=sudo
fi
$as_root apt-get -q update
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
