#!/usr/bin/env bash
# Makes a Docker engine answer: uses the one that is there; else installs Debian's docker.io and starts it.
# Exit code 3: there is none and no way to get one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

SOCKET=/var/run/docker.sock
LOG=/var/log/dockerd.log
WAIT_SECONDS=60

main() {
    if engine_answers; then
        have "The engine answers: $(describe)"
        return
    fi
    refuse_where_starting_is_not_ours
    install_engine
    start_engine
    say "The engine answers: $(describe)"
}

describe() {
    if command -v docker >/dev/null; then
        as_engine_user docker version --format 'Docker {{.Server.Version}} on {{.Server.Os}}/{{.Server.Arch}}'
    else
        echo "at ${DOCKER_HOST:-$SOCKET}"
    fi
}

# The engine's socket belongs to root and to the group docker.
as_engine_user() { if engine_answers; then "$@"; else as_root "$@"; fi; }

engine_answers_root() { engine_answers || { [ -n "$SUDO" ] && as_root timeout 10 docker version >/dev/null 2>&1; }; }

refuse_where_starting_is_not_ours() {
    if [ -n "${DOCKER_HOST:-}" ]; then
        fail 3 "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST: start that engine, or unset DOCKER_HOST to use one of this machine."
    fi
    local context
    context=$(docker context inspect --format '{{.Name}}' 2>/dev/null) || context=default
    if [ "$context" != default ]; then
        fail 3 "no Docker engine answers at the Docker context '$context', which this user has chosen: start that engine, or run \`docker context use default\` to use one of this machine."
    fi
    if [ "$(uname -s)" != Linux ]; then
        fail 3 "no Docker engine answers: start Docker Desktop (or another engine), then run this again."
    fi
    if ! $CAN_ROOT; then
        fail 3 "no Docker engine answers, and starting one needs root: run this as root or as a user who may use sudo, or set DOCKER_HOST to an engine that you may use."
    fi
}

install_engine() {
    if command -v dockerd >/dev/null; then
        have "Docker's engine is installed"
        return
    fi
    if ! can_apt; then
        fail 3 "no Docker engine is installed, and this is no Debian or Ubuntu where it could be: install Docker, start it, and run this again."
    fi
    apt_install docker.io iptables iproute2 ca-certificates || true
    if ! command -v dockerd >/dev/null; then
        fail 3 "Debian's package docker.io could not be installed (see above): install Docker by hand, start it, and run this again."
    fi
    # From Debian 13 on, the command `docker`, which students are told to use, is a package of its own.
    command -v docker >/dev/null || apt_install docker-cli || true
}

start_engine() {
    if engine_answers_root; then
        have "An engine runs; user $(id -un) is not in its group docker, so sudo is used"
        return
    fi
    if [ -d /run/systemd/system ]; then
        say "Starting the engine (systemctl start docker)"
        as_root systemctl start docker || true
        if wait_for_engine ""; then return; fi
    fi
    start_directly
}

# Where no systemd runs (containers, some virtual machines). Not `service docker start`: its script raises limits that such a
# machine may not raise, and gives up.
start_directly() {
    say "Starting the engine (dockerd in the background, log in $LOG)"
    forget_dead /var/run/docker.pid dockerd
    forget_dead /var/run/docker/containerd/containerd.pid containerd
    # shellcheck disable=SC2016 # the inner shell expands it
    as_root setsid --fork sh -c 'exec dockerd </dev/null >"$0" 2>&1' "$LOG" || true
    if ! wait_for_engine dockerd; then
        as_root tail -n 5 "$LOG" >&2 || true
        fail 3 "the Docker engine did not start (above: the end of its log, $LOG): start an engine by hand, and run this again."
    fi
    keep_bridge_address
}

# A bridge without an address of its own has that of one of its containers, and another one's as soon as that one ends. Then
# nothing that the others send arrives for half a minute, and a `RUN pip install` hangs. The engine gives its bridge an address
# (addr_assign_type 3), but not where it finds the bridge there already.
keep_bridge_address() {
    local bridge=/sys/class/net/docker0
    if [ "$(cat "$bridge/addr_assign_type" 2>/dev/null)" = 1 ] && command -v ip >/dev/null; then
        as_root ip link set dev docker0 address "$(cat "$bridge/address")" || true
    fi
}

# forget_dead PIDFILE NAME: remove what a killed daemon left. It would take any process that has that number now for itself.
forget_dead() {
    local pid
    pid=$(as_root cat "$1" 2>/dev/null) || return 0
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$2" ]; then as_root rm -f "$1"; fi
}

# wait_for_engine NAME: true as soon as it answers; false after WAIT_SECONDS, or when no process NAME (if given) is alive.
wait_for_engine() {
    local start=$SECONDS shown=0 passed
    while ! engine_answers_root; do
        passed=$(seconds_since "$start")
        if [ "$passed" -ge "$WAIT_SECONDS" ]; then return 1; fi
        if [ -n "$1" ] && [ "$passed" -ge 3 ] && ! is_running "$1"; then return 1; fi
        if [ $((passed - shown)) -ge 5 ]; then
            have "waiting for the engine, $passed of at most $WAIT_SECONDS s"
            shown=$passed
        fi
        sleep 0.3
    done
}

is_running() { # is_running NAME
    local comm
    for comm in /proc/[0-9]*/comm; do
        if [ "$(cat "$comm" 2>/dev/null)" = "$1" ]; then return 0; fi
    done
    return 1
}

main
