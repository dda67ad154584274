#!/usr/bin/env bash
# Makes .venv: the locked requirements, checked by their hashes, and this project, editable. Skipped when done.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

LOCK=requirements/dev.txt
STAMP=$VENV/.installed
# A connection that hangs is given up and tried again, whatever this machine says (seconds; PIP_DEFAULT_TIMEOUT may be
# minutes): five short waits find a way where one long one does not.
PIP_PATIENCE=(--timeout 20 --retries 5)
export UV_HTTP_TIMEOUT=20 UV_HTTP_RETRIES=5

main() {
    if [ -f "$STAMP" ] && venv_works && [ "$(cat "$STAMP")" = "$(wanted)" ]; then
        have ".venv is up to date"
        return
    fi
    venv_works || make_venv
    install_uv
    say "Installing the locked requirements into .venv"
    "$UV" pip sync --quiet --python "$VENV/bin/python" --require-hashes "$LOCK"
    say "Installing the project into .venv (editable)"
    # Without isolation the build uses the locked hatchling of .venv, and fetches nothing.
    "$UV" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation --editable .
    wanted >"$STAMP"
}

# What .venv was made from. The folder counts, because scripts in .venv/bin name it.
wanted() {
    printf '%s\n' "$ROOT"
    "$VENV/bin/python" --version
    cat "$LOCK" pyproject.toml | sha256sum
}

# False for none, for one whose Python is gone or too old, and for one that was copied or moved here from elsewhere.
venv_works() {
    [ -x "$VENV/bin/python" ] && [ -x "$VENV/bin/pip" ] && "$VENV/bin/pip" --version >/dev/null 2>&1 && is_new_enough "$VENV/bin/python"
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

make_venv() {
    local python
    find_python || install_python || fail 3 "no Python 3.11 or later with the module venv was found, and none could be installed: install python3.11 and python3.11-venv (or later), and run this again."
    python=$FOUND
    say "Making .venv with $("$python" --version) ($python)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
}

# Sets FOUND to a Python that will do; the system's own first.
find_python() {
    local name path
    for name in python3 python3.13 python3.12 python3.11; do
        path=$(command -v "$name") || continue
        if is_new_enough "$path" && can_make_venv "$path"; then
            FOUND=$path
            return
        fi
    done
    return 1
}

install_python() {
    local name
    can_apt || return 1
    apt_install python3 python3-venv ca-certificates || true
    find_python && return
    for name in python3.13 python3.12 python3.11; do
        if apt-cache show "$name-venv" >/dev/null 2>&1 && apt_install "$name" "$name-venv" && find_python; then return; fi
    done
    return 1
}

# Sets UV: the one on PATH, else the locked one, installed into .venv.
install_uv() {
    UV=$(command -v uv) && return
    UV=$VENV/bin/uv
    if [ ! -x "$UV" ]; then
        say "Installing uv into .venv"
        "$VENV/bin/pip" install "${PIP_PATIENCE[@]}" --quiet --disable-pip-version-check --require-hashes --requirement requirements/build.txt
    fi
}

main
