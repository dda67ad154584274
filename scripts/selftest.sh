#!/usr/bin/env bash
# Grades every right and every wrong solution of the course for real: make selftest. Takes options of `grader selftest`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

scripts/setup.sh
scripts/engine.sh
scripts/tools.sh
with_engine .venv/bin/grader images
with_engine .venv/bin/grader selftest "$@"
