#!/bin/sh
# Makes sure that there are servers for the tests to start; they never use a running one.
#
#   servers.sh redis memcached postgres pgbouncer chromium
#
# Installs what is missing with apt-get where that needs no question (root, or sudo without a
# password). Elsewhere it says what to do and succeeds: the tests that need the server are skipped
# then, or fail where CI=true. NO_INSTALL=1 forbids installing.
set -eu

say() { printf '%s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

is_there() {
    case $1 in
        redis) has redis-server || has valkey-server ;;
        memcached) has memcached ;;
        # Debian keeps these off the path.
        postgres) has initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
        pgbouncer) has pgbouncer || [ -x /usr/sbin/pgbouncer ] ;;
        # A browser that is steered by a driver; both, of one version.
        chromium) { has chromium || has chromium-browser || has google-chrome; } && has chromedriver ;;
    esac
}

# What it is called by Debian, Fedora and Homebrew; a comma stands for a space.
packages() {
    case $1 in
        redis) echo redis-server valkey redis ;;
        memcached) echo memcached memcached memcached ;;
        postgres) echo postgresql postgresql-server postgresql ;;
        pgbouncer) echo pgbouncer pgbouncer pgbouncer ;;
        chromium) echo chromium,chromium-driver chromium,chromedriver chromedriver ;;
    esac
}

spaced() { printf '%s' "$1" | tr , ' '; }

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo -n"
fi

may_install() {
    [ -z "${NO_INSTALL:-}" ] && has apt-get || return 1
    [ -z "$as_root" ] || $as_root true >/dev/null 2>&1
}

install() {
    say "$* is missing; installing it with apt-get ..."
    $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

advise() {
    say "There is no $1, so tests that need it are skipped (they fail where CI=true). To install it:"
    say "  Debian, Ubuntu   sudo apt-get install $2"
    say "  Fedora           sudo dnf install $3"
    say "  macOS            brew install $4"
}

for server in "$@"; do
    is_there "$server" && continue
    # shellcheck disable=SC2046 # three names
    set -- $(packages "$server")
    # shellcheck disable=SC2046 # one word for each package
    if may_install && install $(spaced "$1"); then
        continue
    fi
    advise "$server" "$(spaced "$1")" "$(spaced "$2")" "$(spaced "$3")"
done
