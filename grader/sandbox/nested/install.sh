#!/bin/sh
# Installs what the image of private engines has: Docker's engine, its command line with Compose and Buildx, Python for
# the proxy before the engine, and the script that starts the engine.
set -eu
. /tmp/recipes/settings.sh
export APT_CONFIG=/tmp/recipes/apt.conf DEBIAN_FRONTEND=noninteractive LC_ALL=C
packages="docker.io docker-cli docker-compose docker-buildx iptables e2fsprogs ca-certificates python3"

# A root file system has no services to start.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
# shellcheck disable=SC2086 # one word per package
apt-get -qq -y install $packages
install -m 755 /tmp/recipes/start.sh /usr/local/sbin/private-engine
mkdir -p /template /etc/docker

apt-get -qq clean
rm -f /usr/sbin/policy-rc.d
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /var/lib/docker/* /usr/share/man/* /usr/share/info/* /tmp/*
find /usr/share/doc -mindepth 1 ! -name copyright ! -type d -delete
