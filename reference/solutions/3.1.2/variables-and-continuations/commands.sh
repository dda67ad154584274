#!/usr/bin/env bash
# Builds the image and runs it once.
set -euo pipefail
cd "$(dirname "$0")"

IMAGE=sales-predictor
docker build \
    --tag "$IMAGE:latest" \
    --file Dockerfile \
    .
docker run --rm "${IMAGE}"
