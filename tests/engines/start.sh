#!/bin/sh
# Starts one engine in its container: start-engine docker|podman STORE. It listens at /socket/engine.sock.
# What is done here beside that is explained in grader/sandbox/nested/start.sh.
set -eu
engine=$1 store=$2

for path in /sys /proc/sys /sys/fs/cgroup; do
    mount -o remount,rw "$path" 2>/dev/null || true
done
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/engine
    while read -r process; do
        echo "$process" >/sys/fs/cgroup/engine/cgroup.procs 2>/dev/null || true
    done </sys/fs/cgroup/cgroup.procs
    sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    parent=/containers
else
    parent=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)/inner
fi

if [ "$engine" = podman ]; then
    mkdir -p /etc/containers
    # It takes for granted that it may raise the limits of processes, which is not so here.
    cat >/etc/containers/containers.conf <<END
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
cgroup_parent = "$parent"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
END
    exec podman system service --time=0 unix:///socket/engine.sock
fi
if [ "$store" = containerd ]; then
    printf '{"features": {"containerd-snapshotter": true}}\n' >/run/engine.json
else
    printf '{"storage-driver": "overlay2"}\n' >/run/engine.json
fi
exec dockerd --config-file /run/engine.json --host unix:///socket/engine.sock --group root --cgroup-parent "$parent" \
    --exec-opt native.cgroupdriver=cgroupfs --log-level warn
