#!/usr/bin/env bash
# Installs debootstrap, with which `grader images` builds base images where no image registry can be reached.
# Only a convenience: where it cannot be had, base images must be pulled, and `grader images` says so.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

packages=()
command -v debootstrap >/dev/null || packages+=(debootstrap)
[ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || packages+=(debian-archive-keyring)
if [ ${#packages[@]} -eq 0 ]; then
    have "debootstrap is installed"
elif can_apt; then
    apt_install "${packages[@]}" || have "debootstrap could not be installed: base images must be pulled"
else
    have "debootstrap is not installed: base images must be pulled"
fi
