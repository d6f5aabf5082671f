#!/bin/sh
# Makes sure that there is a memcached for the tests to start; they never use a running one.
#
# Installs it with apt-get where that needs no question (root, or sudo without a password).
# Elsewhere it says what to do and succeeds: the tests that need memcached are skipped then, or fail
# where CI=true. NO_INSTALL=1 forbids installing.
set -eu

say() { printf '%s\n' "$*" >&2; }

if command -v memcached >/dev/null 2>&1; then
    exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo -n"
fi

may_install() {
    [ -z "${NO_INSTALL:-}" ] && command -v apt-get >/dev/null 2>&1 || return 1
    [ -z "$as_root" ] || $as_root true >/dev/null 2>&1
}

install() {
    say "memcached is missing; installing it with apt-get ..."
    $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends memcached >/dev/null
}

if may_install && install; then
    exit 0
fi
say "There is no memcached, so tests that need it are skipped (they fail where CI=true). To install it:"
say "  Debian, Ubuntu   sudo apt-get install memcached"
say "  Fedora           sudo dnf install memcached"
say "  macOS            brew install memcached"
