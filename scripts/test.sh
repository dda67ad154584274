#!/usr/bin/env bash
# Runs the tests, from nothing: make test. All parts run, also after one is red; any red makes the exit code 1.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

start=$SECONDS
red=()

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
scripts/engine.sh
scripts/tools.sh
scripts/chromium.sh
say "The base images"
with_engine .venv/bin/grader images

pytest=(.venv/bin/python -m pytest)
part "unit" "${pytest[@]}" -n 2 -m "not engine and not browser"
part "engine" with_engine "${pytest[@]}" -m "engine and not browser and not private and not long"
part "browser" with_engine "${pytest[@]}" -m browser
# One seed, so that red means a change, not a draw; `make selftest` draws a new one each time. One job more than the
# usual two cores, since installations wait for the network.
part "selftest" with_engine .venv/bin/grader selftest --seed 20240229 --jobs 3

if [ ${#red[@]} -gt 0 ]; then
    fail 1 "red: ${red[*]} (after $(seconds_since "$start") s)."
fi
say "All green in $(seconds_since "$start") s"
