#!/usr/bin/env bash
# Builds what a release is made of into dist/: wheel, sdist, and the wheel's bill of materials (CycloneDX). It refuses where
# the CHANGELOG has no section for the version, or where the wheel does not work from an empty environment.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

scripts/setup.sh
UV=$(command -v uv) || UV=$VENV/bin/uv
version=$("$VENV/bin/python" -c 'import grader; print(grader.__version__)')
grep -q "^## \[$version\]" CHANGELOG.md || [ -n "${UNRELEASED:-}" ] ||
    fail 1 "CHANGELOG.md has no section [$version]: name the release there, or set UNRELEASED=1 to try."

say "Building the wheel and the sdist of $version"
rm -rf dist
"$VENV/bin/hatchling" build --directory dist

say "Trying the wheel in an empty environment"
tools=build/release
"$UV" venv --quiet --clear --python "$VENV/bin/python" "$tools/empty"
"$UV" pip sync --quiet --python "$tools/empty/bin/python" --require-hashes requirements/runtime.txt
"$UV" pip install --quiet --no-deps --python "$tools/empty/bin/python" dist/*.whl
(
    cd "$(mktemp -d)"
    "$ROOT/$tools/empty/bin/grader" start 3.1.1
    test -f 3.1.1/sales_predictor.py
)

say "Writing the bill of materials"
"$UV" venv --quiet --clear --python "$VENV/bin/python" "$tools/tools"
"$UV" pip sync --quiet --python "$tools/tools/bin/python" --require-hashes requirements/release.txt
"$tools/tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
    --output-file "dist/docker-exercise-grader-$version.cdx.json" "$tools/empty/bin/python"
(cd dist && sha256sum -- * >SHA256SUMS)
say "dist/ holds: $(cd dist && echo ./*)"
