#!/bin/bash
set -euo pipefail
docker container ls --all --format "{{.ID}} {{.Names}}" |
  cut -d " " -f 1 |
  xargs --no-run-if-empty docker container rm -f
