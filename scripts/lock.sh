#!/usr/bin/env bash
# Writes requirements/*.txt from pyproject.toml: every version, with hashes, for Python 3.11 and later on every platform.
# Versions stay as they are where they can; UPGRADE=1 takes the newest.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

UV=$(command -v uv) || UV=$VENV/bin/uv
options=(--quiet --generate-hashes --universal --python-version 3.11 --custom-compile-command "make lock")
[ -z "${UPGRADE:-}" ] || options+=(--upgrade)

say "Locking requirements/runtime.txt, build.txt, dev.txt, docs.txt, release.txt"
"$UV" pip compile "${options[@]}" pyproject.toml --extra watch -o requirements/runtime.txt
"$UV" pip compile "${options[@]}" --group build -c requirements/runtime.txt -o requirements/build.txt
"$UV" pip compile "${options[@]}" pyproject.toml --extra watch --extra cluster --group dev \
    -c requirements/runtime.txt -c requirements/build.txt -o requirements/dev.txt
"$UV" pip compile "${options[@]}" --group docs -c requirements/dev.txt -o requirements/docs.txt
"$UV" pip compile "${options[@]}" --group release -c requirements/build.txt -c requirements/dev.txt -o requirements/release.txt

# A lock that names an index or a folder would bind everybody to one machine's.
if grep -nE '://|^ *-[-a-z]|(^| )/[a-z]|file:' requirements/*.txt | grep -vE '^[^:]*:[0-9]+: +--hash=sha256:[0-9a-f]{64}( \\)?$'; then
    fail 1 "requirements/ names an index, an option or a folder (lines above): unset the environment's index settings, and run this again."
fi
