#!/bin/sh
# The part of recipes/build.sh that runs inside the new file system, here for the private engine: Docker's engine, its
# command line with Compose and Buildx, Python, and the script that starts the engine.
set -eu
export APT_CONFIG=/tmp/recipes/apt.conf
packages="docker.io docker-cli docker-compose docker-buildx iptables e2fsprogs ca-certificates python3"

step() { echo "I: $*"; }

step "Downloading the engine"
# A root file system has no services to start, and a second engine on this host would take the first one's network away:
# so nothing may be started, and what would be started all the same would have no network to harm.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
# shellcheck disable=SC2086 # one word per package
apt-get -qq -y --no-install-recommends --download-only install $packages

step "Installing the engine"
# shellcheck disable=SC2086 # one word per package
unshare --net apt-get -qq -y --no-install-recommends --no-download install $packages
install -m 755 /tmp/recipes/start.sh /usr/local/sbin/private-engine
mkdir -p /template /etc/docker
echo "V: $(dpkg-query --showformat='${source:Upstream-Version}' --show docker.io | sed 's/[+~].*//')"

step "Removing what an image does not need"
apt-get -qq clean
rm -f /usr/sbin/policy-rc.d
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /var/lib/docker/* /usr/share/man/* /usr/share/info/*
find /usr/share/doc -mindepth 1 ! -name copyright ! -type d -delete
