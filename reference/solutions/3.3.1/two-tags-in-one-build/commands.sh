#!/bin/sh
set -eu
NAME=sales-predictor
VERSION=v1.0

docker build \
    --tag "$NAME:latest" \
    --tag "$NAME:$VERSION" \
    .
docker image ls --filter "reference=$NAME"
