# What the scripts share. Sourced, never run:  . "$(dirname "$0")/lib.sh"
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
# An ordinary user's PATH on Debian lacks the folders where dockerd and debootstrap are.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
# Each of the hundreds of processes that tests start would else compile what it imports again: 2 s instead of 0.7 for one
# `grader check`. What is written beside the sources is ignored by git, and goes with `make clean`.
unset PYTHONDONTWRITEBYTECODE

# The word before a command that needs root: nothing for root; sudo where it asks nothing, or can ask at a terminal; else
# CAN_ROOT is false.
SUDO=
CAN_ROOT=true
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true || : </dev/tty; } 2>/dev/null; then SUDO=sudo; else CAN_ROOT=false; fi
fi

# One line for each thing that is done (say) or was found done before (have); a failure names itself and ends the script.
say() { printf '==> %s\n' "$*"; }
have() { printf '  - %s\n' "$*"; }
fail() { # fail EXIT_CODE MESSAGE
    printf 'error: %s\n' "$2" >&2
    exit "$1"
}

can_apt() { $CAN_ROOT && command -v apt-get >/dev/null; }

# as_root COMMAND...: run it as root. Only where CAN_ROOT is true.
as_root() {
    # shellcheck disable=SC2086 # nothing must vanish, not become an empty word
    $SUDO "$@"
}

# apt_install PACKAGE...: install Debian packages, quietly; the end of the log is shown when it fails. The list of packages
# is fetched only where it is missing or too old. A service that may not start inside a container can make apt fail though
# the files are there: it is the caller who looks whether the command it wanted has come.
apt_install() {
    local log status=0
    log=$(mktemp)
    say "Installing Debian packages: $* (may take a minute or two)"
    if ! apt_install_once "$@" >"$log" 2>&1; then
        have "fetching the list of Debian packages first"
        as_root apt-get update -q -o DPkg::Lock::Timeout=120 </dev/null >"$log" 2>&1 || true
        apt_install_once "$@" >>"$log" 2>&1 || status=$?
    fi
    if [ "$status" -ne 0 ]; then tail -n 30 "$log" >&2; fi
    rm -f "$log"
    return "$status"
}

apt_install_once() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# engine_answers: true when the engine that the grader would use (DOCKER_HOST, the CLI's context, or the usual socket)
# answers within 10 s.
engine_answers() {
    if command -v docker >/dev/null; then
        timeout 10 docker version --format '{{.Server.Version}}' </dev/null >/dev/null 2>&1
    elif [ -x "$VENV/bin/python" ]; then
        timeout 20 "$VENV/bin/python" -c 'import docker; docker.from_env().ping()' </dev/null >/dev/null 2>&1
    else
        return 1
    fi
}

# with_engine COMMAND...: run it so that it may use the engine: as it is, or with sudo for a user who is not in the group
# `docker`. What it then leaves in the repository is given back to that user.
with_engine() {
    if engine_answers || [ -z "$SUDO" ]; then
        "$@"
        return
    fi
    local status=0
    sudo -E env "PATH=$PATH" "$@" || status=$?
    sudo find "$ROOT" -xdev -uid 0 -exec chown --no-dereference "$(id -u):$(id -g)" {} +
    return "$status"
}

# seconds_since START: whole seconds, where START was $SECONDS.
seconds_since() { echo $((SECONDS - $1)); }
