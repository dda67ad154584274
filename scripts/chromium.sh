#!/usr/bin/env bash
# Installs Chromium, in which the browser tests open the report. Skipped when one is there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

if browser=$(find_browser); then
    have "A browser is installed: $browser"
    exit
fi
# A page without a font has no text to measure.
if can_apt; then apt_install chromium fonts-dejavu-core || true; fi
if ! find_browser >/dev/null; then
    fail 3 "no Chromium was found, and none could be installed: install it (Debian's package chromium), and run this again."
fi
