#!/bin/sh
# Starts the private engine inside its container, as grader/sandbox/nested_engine.py asks by variables:
#
#   SOCKET     path that the engine listens at, in a folder that it shares with the helper container
#   BOUNDED    path of a file that says, if it is there, that the disk is of limited size
#   DISK_MB    MiB of disk that everything in the engine may take together
#   TEMPLATE   `use`: begin with the base images of the template volume at /template;
#              `make`: /var/lib/docker is the new template
set -eu
data=/var/lib/docker
mkdir -p "$data"

# What a container without the `privileged` flag finds read-only.
for path in /sys /proc/sys /sys/fs/cgroup; do
    mount -o remount,rw "$path" 2>/dev/null || true
done

# The containers of this engine belong below this container's own limits.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    # Version 2, in a namespace of its own, so everything is below already. But a group that has processes gives no
    # controllers to its children, so they move to a child.
    mkdir -p /sys/fs/cgroup/engine
    while read -r process; do
        echo "$process" >/sys/fs/cgroup/engine/cgroup.procs 2>/dev/null || true
    done </sys/fs/cgroup/cgroup.procs
    sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    parent=/containers
else
    parent=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)/inner
fi

# Left alone, the engine keeps a tenth of its disk as build cache, which here is so little that a second build may find
# nothing of the first. Half of it leaves room for images and containers. And no build gets the engine's own network.
settings=/run/engine.json
cat >$settings <<END
{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "$((DISK_MB / 2))MB"},
             "entitlements": {"network-host": false, "security-insecure": false}}}
END

engine() {
    exec dockerd --config-file $settings --host "unix://$SOCKET" --group root --cgroup-parent "$parent" \
        --exec-opt native.cgroupdriver=cgroupfs --storage-driver overlay2 --data-root "$data" --log-level warn
}

if [ "$TEMPLATE" = make ]; then
    engine
fi

# A file system of limited size in a file of the engine's volume. No journal: it does not outlive its first mount. The
# kernel gives the loop device back when this container is gone. Where there are none, the disk has no limit.
bounded() {
    [ -c /dev/loop-control ] || mknod /dev/loop-control c 10 237
    free=$(losetup --find) || return 1
    free=${free%% *} # behind it may stand that its node is missing
    number=0
    while [ $number -le $((${free#/dev/loop} + 16)) ]; do # others may take the free one meanwhile
        [ -b /dev/loop$number ] || mknod /dev/loop$number b 7 $number || return 1
        number=$((number + 1))
    done
    truncate -s "${DISK_MB}M" /volume/disk &&
        mkfs.ext4 -q -F -O ^has_journal -m 0 -E lazy_itable_init=1,nodiscard /volume/disk &&
        mount -o loop,noatime,discard /volume/disk "$data"
}
if bounded; then
    : >"$BOUNDED"
else
    mkdir -p /volume/data
    mount --bind /volume/data "$data"
fi

# The layers of the base images are mounted, read-only. Only what describes them is copied, so this takes no time.
cp -a /template/image "$data/"
mkdir -p "$data/overlay2"
cp -a /template/overlay2/l "$data/overlay2/"
for layer in /template/overlay2/*/; do
    own=$data/overlay2/$(basename "$layer")
    [ -d "${layer}diff" ] || continue
    mkdir -p "$own/diff"
    for file in "$layer"*; do
        [ ! -f "$file" ] || cp -a "$file" "$own/"
    done
    [ ! -d "${layer}work" ] || mkdir -p "$own/work"
    mount --bind "${layer}diff" "$own/diff"
    mount -o remount,bind,ro "$own/diff"
done
# The engine itself fetches nothing: no image of a registry, no ADD from elsewhere, no repository. What may be built from
# is in it, but a Dockerfile that a script writes could name anything. Containers' packets do not pass this chain.
iptables --append OUTPUT --out-interface lo --jump ACCEPT
iptables --append OUTPUT --out-interface docker0 --jump ACCEPT
iptables --append OUTPUT --out-interface br-+ --jump ACCEPT
iptables --append OUTPUT --jump REJECT
ip6tables --append OUTPUT ! --out-interface lo --jump REJECT 2>/dev/null || true # there may be no version 6

# Builds have the network, for packages. Nothing in them needs what a cloud tells its machines at the link-local address,
# their credentials among it; its name server may be there too. And no service of Compose, nor any other container in a
# network of a script's own, needs a way out. The engine keeps what stands in this chain.
iptables --new-chain DOCKER-USER
chain() {
    iptables --append DOCKER-USER "$@"
}
chain --in-interface br-+ ! --out-interface br-+ --jump REJECT
chain --destination 169.254.0.0/16 --protocol udp --dport 53 --jump RETURN
chain --destination 169.254.0.0/16 --protocol tcp --dport 53 --jump RETURN
chain --destination 169.254.0.0/16 --jump REJECT

engine
