#!/usr/bin/env bash
# ruff (rules, then format) and shellcheck on our own shell scripts: make lint.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

scripts/setup.sh
red=0
.venv/bin/ruff check || red=1
.venv/bin/ruff format --check || red=1
.venv/bin/shellcheck --severity=warning --external-sources --source-path=SCRIPTDIR scripts/*.sh .ci/run grader/base_images/recipes/*.sh grader/sandbox/nested/*.sh grader/sandbox/tools/* grader/cli/gradescope/setup.sh grader/cli/gradescope/run_autograder tests/engines/*.sh || red=1
exit "$red"
