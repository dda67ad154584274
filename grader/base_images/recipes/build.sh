#!/bin/sh
# Builds the root file system of a Python base image from Debian packages and writes it to standard output as a tar.
# Run as root by grader/imagerecipe.py. Progress goes to standard error, as lines that begin with "I: ", and once "V: "
# with the full version of Python.
#
#   RELEASE   Debian release, such as bookworm          PYTHON   its Python, such as 3.11
#   ROOT      folder to work in, made and removed here; one build at a time, for which the caller holds a lock
#   HOST      folder with pip.conf and certificates.pem of this host, for the image
#   MIRROR    package archive to try first; empty: only the one that debootstrap knows
#   SECURITY  archive of security updates for the image; empty: derived from the archive of the release
#
# The caller keeps standard input open. When it ends, because the caller is done or dead, the build is stopped and its
# files are removed.
set -eu
export RELEASE PYTHON ROOT HOST MIRROR SECURITY LC_ALL=C
recipes=$(dirname "$(readlink -f "$0")")

if [ "${1-}" = "" ]; then
    # This process waits and cleans up; the work is done by another one, below.
    build=
    watcher=
    # The group of processes that setsid makes; the one process where it has not come to that yet.
    end_build() { kill -KILL "-$build" || kill -KILL "$build"; }
    # shellcheck disable=SC2329 # called by the trap
    clean_up() {
        trap '' INT TERM HUP
        [ -z "$watcher" ] || kill -KILL "$watcher" 2>/dev/null || true
        if [ -n "$build" ]; then
            end_build 2>/dev/null || true
            wait "$build" 2>/dev/null || true
        fi
        rm -rf --one-file-system "$ROOT"
    }
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    # The shell reports a process that was killed, and there may be nobody left to read that: no reason to end early.
    trap : PIPE
    rm -rf --one-file-system "$ROOT"
    mkdir -p "$ROOT"
    # In namespaces of their own all processes end with the first, and all mounts with the last process.
    namespace="unshare --mount --pid --fork --kill-child"
    mode=in-namespace
    if ! $namespace true 2>/dev/null; then
        namespace=
        mode=without-namespace
    fi
    exec 3<&0
    # shellcheck disable=SC2086 # several words, or none
    setsid $namespace sh "$0" "$mode" </dev/null 3<&- &
    build=$!
    { read -r _ <&3 || true; end_build; } 2>/dev/null &
    watcher=$!
    exec 3<&-
    status=0
    wait "$build" || status=$?
    exit "$status"
fi

# Memory instead of a disk where there is plenty: faster, and no matter how the disk is mounted (nodev, noexec).
available_kb=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
if [ "$1" = in-namespace ] && [ "${available_kb:-0}" -gt 3000000 ]; then
    mount -t tmpfs -o mode=755,size=1g base "$ROOT"
fi

[ -e "${HOME-}/.wgetrc" ] || export WGETRC="$recipes/wgetrc"

bootstrap() {
    # Documentation and translations are not unpacked; dpkg need not wait for the disk when it fills an image.
    mkdir -p "$ROOT/etc/dpkg/dpkg.cfg.d"
    cp "$recipes/dpkg.cfg" "$ROOT/etc/dpkg/dpkg.cfg.d/slim"
    debootstrap --variant=minbase --merged-usr --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$RELEASE" "$ROOT" "$@" >&2
}

# Twice, since a download may fail, or the archive that this host uses may not have the release.
if ! bootstrap ${MIRROR:+"$MIRROR"}; then
    echo "I: Trying again with the usual package archive" >&2
    find "$ROOT" -xdev -mindepth 1 -delete
    bootstrap
fi

cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
mkdir "$ROOT/tmp/recipes"
cp "$recipes"/*.sh "$recipes"/*.py "$recipes/apt.conf" "$HOST/pip.conf" "$HOST/certificates.pem" "$ROOT/tmp/recipes/"
chroot "$ROOT" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
    DEBIAN_FRONTEND=noninteractive RELEASE="$RELEASE" PYTHON="$PYTHON" SECURITY="$SECURITY" \
    http_proxy="${http_proxy-}" https_proxy="${https_proxy-}" no_proxy="${no_proxy-}" \
    sh /tmp/recipes/inside.sh >&2

echo "I: Packing the file system" >&2
umount -l "$ROOT/proc" "$ROOT/sys" 2>/dev/null || true
rm -rf "$ROOT/tmp/recipes"
for folder in dev run proc sys tmp; do find "$ROOT/$folder" -xdev -mindepth 1 -delete; done
: >"$ROOT/etc/resolv.conf"
rm -f "$ROOT/etc/hostname"
tar --numeric-owner --one-file-system -C "$ROOT" -c .
