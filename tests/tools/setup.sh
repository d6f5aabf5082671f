#!/bin/sh
# Makes the virtual environment that every make target uses, with all extras and tools in it.
#
#   setup.sh FOLDER            PYTHON=/path/to/python3 chooses the interpreter.
#
# An environment that works is kept and brought up to date.
set -eu

venv=$1
oldest=3.10

say() { printf '%s\n' "$*" >&2; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }
has() { "$1" -c "import $2" >/dev/null 2>&1; }

candidates() {
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON"
    else
        echo python3.13 python3.12 python3.11 python3.10 python3
    fi
}

# The newest interpreter that can fill an environment by itself, else the newest at all.
find_python() {
    found=
    for name in $(candidates); do
        new_enough "$name" || continue
        if has "$name" ensurepip && has "$name" venv; then
            echo "$name"
            return
        fi
        found=${found:-$name}
    done
    echo "$found"
}

# Debian keeps ensurepip in a package of its own (python3-venv). Without it an environment can be
# made empty, and a pip from outside puts a pip into it.
make_environment() {
    for way in whole without_pip by_virtualenv; do
        rm -rf "$venv"
        if "$way" "$1" >/dev/null 2>&1 && works; then
            return
        fi
    done
    rm -rf "$venv"
    say "$1 could not make a virtual environment; this is what it says:"
    whole "$1" || rm -rf "$venv"
    say "On Debian and Ubuntu this helps: sudo apt-get install python3-venv python3-pip"
    say "Another interpreter can be named: make setup PYTHON=/path/to/python3"
    exit 1
}

whole() { "$1" -m venv "$venv"; }
without_pip() {
    "$1" -m venv --without-pip "$venv" &&
        "$1" -m pip --python "$venv/bin/python" install pip
}
by_virtualenv() { "$1" -m virtualenv "$venv"; }

works() { new_enough "$venv/bin/python" && has "$venv/bin/python" pip; }

# A user-wide pip configuration with user = true would refuse to install into an environment.
PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_USER PIP_DISABLE_PIP_VERSION_CHECK

if ! works; then
    python=$(find_python)
    if [ -z "$python" ]; then
        say "No Python >= $oldest was found (looked for: $(candidates))."
        say "Install one, or name it: make setup PYTHON=/path/to/python3"
        exit 1
    fi
    say "Making $venv with $("$python" --version) ..."
    make_environment "$python"
fi
say "Installing cache-core with all extras and tools into $venv (takes a minute the first time) ..."
"$venv/bin/python" -m pip install -qq --upgrade pip
"$venv/bin/python" -m pip install -qq --editable '.[dev]'
