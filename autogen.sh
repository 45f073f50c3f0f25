#!/bin/sh
# Makes ./configure from configure.ac. Needs autoconf, automake and pkg-config; dev/deps installs them.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force ${1+"$@"}
