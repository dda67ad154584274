#!/usr/bin/env bash
# Runs the tests, from nothing: make test. All parts run, also after one is red; any red makes the exit code 1.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

start=$SECONDS
red=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# part NAME COMMAND...
part() {
    local name=$1 began=$SECONDS
    shift
    say "Tests: $name"
    if "$@"; then
        say "$name: green, $(seconds_since "$began") s"
    else
        red+=("$name")
        say "$name: RED, $(seconds_since "$began") s"
    fi
}

scripts/setup.sh
[ -z "$SUDO" ] || $SUDO -v # a password is asked for now, and not among the results of the unit tests
# What the other parts need is fetched while the unit tests, which need none of it, take the cores.
scripts/prepare.sh >"$log" 2>&1 &
preparing=$!

pytest=(.venv/bin/python -m pytest)
part "unit" "${pytest[@]}" -n 2 --dist worksteal -m "not engine and not browser"
prepared=0
wait "$preparing" || prepared=$?
cat "$log"
[ "$prepared" -eq 0 ] || fail "$prepared" "the engine and its images could not be prepared (see above)."
part "engine" with_engine "${pytest[@]}" -n 2 --dist loadgroup -m "engine and not browser and not private and not long"
part "browser" with_engine "${pytest[@]}" -m browser
# One seed, so that red means a change, not a draw; `make selftest` draws a new one each time. One job more than the
# usual two cores, since installations wait for the network. `.ci/run` and `make selftest` grade the other solutions too.
part "selftest" with_engine .venv/bin/grader selftest --selection --seed 20240229 --jobs 3

if [ ${#red[@]} -gt 0 ]; then
    fail 1 "red: ${red[*]} (after $(seconds_since "$start") s)."
fi
say "All green in $(seconds_since "$start") s"
