#!/usr/bin/env bash
# An engine, the tools and Chromium, and the base images: what the engine and browser tests need besides .venv.
# Skipped when done.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

prepare() {
    scripts/engine.sh
    scripts/tools.sh
    scripts/chromium.sh
    say "The base images"
    with_engine .venv/bin/grader images
}

# One at a time: whoever comes second finds everything done. An engine that is started must not inherit the lock.
exec 9>"$VENV/.preparing"
flock 9
prepare 9>&-
