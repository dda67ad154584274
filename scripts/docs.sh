#!/usr/bin/env bash
# Builds docs/ as a site, into build/site, with tools of its own in build/docs. A warning (a link that leads nowhere, a page
# outside the navigation) is an error.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

scripts/setup.sh
UV=$(command -v uv) || UV=$VENV/bin/uv
tools=build/docs
[ -x "$tools/bin/python" ] || "$UV" venv --quiet --python "$VENV/bin/python" "$tools"
"$UV" pip sync --quiet --python "$tools/bin/python" --require-hashes requirements/docs.txt
say "Building the site"
NO_MKDOCS_2_WARNING=1 "$tools/bin/mkdocs" build --strict --clean
say "The site is build/site/index.html"
