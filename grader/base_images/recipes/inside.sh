#!/bin/sh
# The part of build.sh that runs inside the new file system. Debian's Python is unpacked below /usr/local and adapted,
# so that it sits where the official Python images have theirs, and what students have learned about those images holds
# here. Debian's package manager knows nothing of it, as in those images, and only installs the libraries it needs.
set -eu
version=python$PYTHON
case $RELEASE in
    bullseye) extra="python3-distutils python3-lib2to3 python-pip-whl" ;;
    bookworm) extra="python3-distutils python3-lib2to3 python3-pip-whl" ;;
    *) extra=python3-pip-whl ;;
esac

export APT_CONFIG=/tmp/recipes/apt.conf

step() { echo "I: $*"; }

has_release_file() {
    # Only whether it is there: apt checks signatures each time it reads an archive.
    /usr/lib/apt/apt-helper -qq download-file "$1/InRelease" /tmp/InRelease >/dev/null 2>&1
}

step "Writing the list of package archives"
main=$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list)
main=${main%/}
security=${SECURITY:-${main}-security}
echo "deb $main $RELEASE main" >/etc/apt/sources.list
# A partial mirror may have neither of the two; a source that does not exist would make every `apt-get update` fail.
for source in "$main $RELEASE-updates" "${security%/} $RELEASE-security"; do
    if has_release_file "${source% *}/dists/${source#* }"; then
        echo "deb $source main" >>/etc/apt/sources.list
    else
        step "No $source: left out"
    fi
done

step "Installing libraries"
needed=$(apt-get -qq --simulate install "$version" | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
libraries=$(echo "$needed" | grep -v python)
# shellcheck disable=SC2086 # one word per package
apt-get -qq -y install ca-certificates netbase tzdata $libraries

step "Unpacking Python"
mkdir /tmp/python
cd /tmp/python
# shellcheck disable=SC2086 # one word per package
apt-get -qq download "$version" "$version-minimal" "lib$version-minimal" "lib$version-stdlib" "lib$version-dev" $extra
for package in *.deb; do dpkg-deb --extract "$package" .; done
mkdir -p "/usr/local/lib/$version" /usr/local/include
cp -a "usr/lib/$version/." "/usr/local/lib/$version/"
cp -a "usr/bin/$version" /usr/local/bin/
cp -a "usr/include/$version" /usr/local/include/
# The header that is the same on every architecture includes this one.
cp -a usr/include/*/"$version"/pyconfig.h "/usr/local/include/$version/pyconfig.h"
ln -s "$version" /usr/local/bin/python3
ln -s python3 /usr/local/bin/python

step "Adapting Python"
cd /
"$version" -I -B /tmp/recipes/adapt.py /tmp/python/usr/share/python-wheels
"$version" -I -c 'import platform; print("V:", platform.python_version())'

step "Removing what an image does not need"
apt-get -qq clean
rm -rf /tmp/python /var/lib/apt/lists/* /var/cache/* /var/log/* /var/lib/dpkg/*-old /usr/share/man/* /usr/share/info/*
find /usr/share/doc -mindepth 1 ! -name copyright ! -type d -delete
find /usr/share/locale -mindepth 1 -maxdepth 1 ! -name locale.alias -exec rm -rf {} +
mkdir -p /var/cache/apt/archives/partial /var/log/apt /var/lib/apt/lists/partial
