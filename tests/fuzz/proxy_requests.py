"""Requests to the proxy: those that the real docker command and Compose sent, after some changes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.harness import mutated_bytes, mutated_text

RECORDED = Path(__file__).parents[1] / "unit/recorded/docker-26.1-requests.jsonl"


@dataclass(slots=True)
class Wire:
    """A request before it is bytes: its lines may hold anything, and so may its body."""

    lines: list[str]
    body: bytes

    def head(self) -> bytes:
        """The head with its empty line."""
        return "\r\n".join([*self.lines, "", ""]).encode("utf-8", "surrogatepass")


COMMANDS = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
REQUESTS = [(one["head"].split("\n"), one["body"]) for command in COMMANDS for one in command["requests"]]
WITH_BODY = [one for one in REQUESTS if one[1]]


# ── what is put in ──────────────────────────────────────────────────────────────────────

KEYS = str.split("""\
Privileged CapAdd Devices DeviceRequests DeviceCgroupRules PidMode IpcMode UTSMode UsernsMode CgroupnsMode
NetworkMode SecurityOpt Sysctls Runtime VolumeDriver CgroupParent MaskedPaths ReadonlyPaths OomKillDisable
OomScoreAdj StorageOpt Annotations Binds Mounts VolumesFrom Tmpfs LogConfig HostConfig NetworkingConfig
EndpointsConfig DriverOpts DriverConfig VolumeOptions BindOptions Subpath Propagation Type Source Target Image
Cmd Env OnBuild Volumes Labels Name Driver Options ConfigFrom ClusterVolumeSpec Detach Tty User Healthcheck
IPAM PortBindings Links ExtraHosts Surprise __proto__
""")
VALUES = [
    *str.split(r"""true 1 0 -1 "" null [] {} "host" "HOST" "container:x" "ns:/proc/1/ns/net" ["SYS_ADMIN"]
    ["seccomp=unconfined"]
    ["/:/host"] ["/submission/data:/data"] ["../x:/y"] ["v:/v"] ["/submission/a/../../etc:/x"] ["grader-work-0:/x"]
    ["/submission:/x:rshared"] {"host":{}} [{"Type":"bind","Source":"/etc","Target":"/x"}]
    [{"Type":"volume","Source":"v","Target":"/x","VolumeOptions":{"Subpath":"../.."}}]
    [{"Type":"volume","Source":"v","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local"}}}]
    [{"Type":"bind","Source":"/submission/d","Target":"/x","BindOptions":{"CreateMountpoint":true}}]
    {"max-size":"1","path":"/etc/x"} {"Type":"syslog","Config":{"syslog-address":"tcp://192.0.2.1"}}
    -9223372036854775809 1e999 1.0 NaN -Infinity 0x1 01 --1 "\ud800" "\u0000" "\u0048ost" 'x' /**/1"""),
    *("9" * 5000, "1" + "0" * 400, "[" * 5000 + "]" * 5000, "[" * 17 + "]" * 17, '{"a":' * 15 + "1" + "}" * 15),
    *("[" + "1," * 600 + "1]", '"' + "x" * 40_000 + '"', '"\x01"', '"\N{SNAKE}"', "", " "),
]
HEADERS = [
    *"""Content-Length: 0|Content-Length: 5
content-length: 1_0|Content-Length: +1|Content-Length: 1, 1|Content-Length : 3
Transfer-Encoding: chunked|Transfer-Encoding: chunked, gzip|transfer-encoding: CHUNKED|Transfer-Encoding: identity
TE: trailers|Connection: Upgrade|Connection: close, Upgrade|Connection: Content-Length|Upgrade: tcp|Upgrade: h2c
Upgrade: websocket|Host: evil|Host:|Expect: 100-continue|Trailer: X|Content-Encoding: gzip|X-Registry-Auth: e30=
Content-Type: application/json|Content-Type: text/plain|Content-Type: application/x-tar|GET /info HTTP/1.1| X: y
X-HTTP-Method-Override: DELETE|HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA""".replace("\n", "|").split("|"),
    *("Transfer-Encoding:\tchunked", "Content-Length: \u0661", "X: a\r\n b", "X: a\nContent-Length: 3", "X: a\rb"),
    *("X: \x00", "X: \xe4", "", "X: " + "y" * 70_000),
]
TARGETS = [
    *str.split(r"""/v1.45 /v1.24 /v9.9 /v1.045 /v1.45/v1.45 // /.. /./ /%2e%2e %2f %00 \ ;x=y #x ? & = ?a=1 %zz
    ?fromImage=evil
    &remote=http://x ?t=a&t=b &networkmode=host %0d%0aX:%20y /containers/x/archive?path=/ /containers/x/export
    /images/x/push /images/load /commit /swarm/init /images/create?fromImage=x /auth /grpc /session /build /images/get
    /x/json /create /exec /networks/host/connect /plugins/pull?remote=x /containers/a..b/json /a:b@c/json &filters={}
    &filters=%7B%22a%22%3A%7B%7D%7D &filters=%5B%5D &all=yes &tail=-1 &t=1e9 http://x/info"""),
    *(" ", "\t", "\x85", "\u0130"),
]
METHODS = ["GET", "POST", "HEAD", "DELETE", "PUT", "get", "CONNECT", "OPTIONS", "PRI", "G\u0415T", ""]
WORDS = [*KEYS, *VALUES[:34], *HEADERS, *TARGETS]


DANGERS = [
    one.split("=", 1)
    for one in str.split(r"""Privileged=true CapAdd=["SYS_ADMIN"] PidMode="host" IpcMode="host" UTSMode="host"
    UsernsMode="host" CgroupnsMode="host" NetworkMode="Host" NetworkMode="ns:/proc/1/ns/net" CgroupParent="/"
    Devices=[{"PathOnHost":"/dev/sda"}] SecurityOpt=["apparmor=unconfined"] Runtime="x" Sysctls={"a":"b"}
    OomKillDisable=true MaskedPaths=["/x"] Binds=["/etc:/x"] Binds=["/submission/..:/x"] DriverOpts={"device":"/"}
    Options={"device":"/"} EndpointsConfig={"host":{}}""")
]


def request(draw: random.Random) -> Wire:
    """A recorded request after some changes, in the framing that its head announces or in another."""
    lines, text = draw.choice(WITH_BODY) if draw.random() < 0.6 else draw.choice(REQUESTS)
    wire = Wire(list(lines), text.encode())
    kept = draw.random() < 0.75  # else the head is a matter of chance
    if text and draw.random() < 0.9:
        is_json = draw.random() < 0.8
        changed = keys_changed(draw, text) if is_json else mutated_text(draw, text, WORDS, [text])
        wire.body = changed.encode("utf-8", "surrogatepass")
    if draw.random() < 0.35:
        change_head(draw, wire)
    frame(draw, wire, honest=kept)
    return wire


def keys_changed(draw: random.Random, text: str) -> str:
    """The document with keys that are new, doubled or spelled otherwise, first or last of an object."""
    known = re.findall(r'"(\w+)":', text) or KEYS
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        name, value = draw.choice(
            [draw.choice(DANGERS), [draw.choice(KEYS), draw.choice(VALUES)], [draw.choice(known), draw.choice(VALUES)]]
        )
        pair = f"{spelling(draw, name)}:{value}"
        if draw.random() < 0.3:
            text = text.replace(f'"{name}":', f"{spelling(draw, name)}:", 1)
        elif draw.random() < 0.5:
            at = draw.choice([one.end() for one in re.finditer("{", text)] or [0])
            text = f"{text[:at]}{pair},{text[at:]}".replace(",}", "}")
        else:
            at = draw.choice([one.start() for one in re.finditer("}", text)] or [0])
            text = f"{text[:at]},{pair}{text[at:]}".replace("{,", "{")
    return text


def spelling(draw: random.Random, name: str) -> str:
    """The same key to a decoder that does not look at case, or nearly, as JSON."""
    others = [
        *(json.dumps(name), json.dumps(name), json.dumps(name.swapcase()), json.dumps(name.lower())),
        json.dumps(name.replace("s", "\u017f").replace("k", "\u212a").replace("K", "\u212a")),
        json.dumps(name + draw.choice(["\0", " ", "\u200b", "."])),
        '"' + "".join(f"\\u{ord(one):04x}" for one in name) + '"',
    ]
    return draw.choice(others)


def change_head(draw: random.Random, wire: Wire) -> None:
    method, _, rest = wire.lines[0].partition(" ")
    target, _, version = rest.rpartition(" ")
    at = draw.choice([len(target), len(target), 0, draw.randint(0, len(target))])
    match draw.randrange(7):
        case 0 | 1:
            wire.lines[0] = f"{method} {target[:at]}{draw.choice(TARGETS)}{target[at:]} {version}"
        case 2:
            wire.lines[0] = f"{method} {draw.choice(['', '/v1.45'])}{draw.choice(TARGETS)} HTTP/1.1"
        case 3:
            wire.lines[0] = f"{draw.choice(METHODS)} {rest}"
        case 4 | 5:
            wire.lines.insert(draw.randint(0, len(wire.lines)), draw.choice(HEADERS))
        case _:
            wire.lines = mutated_text(draw, "\n".join(wire.lines), WORDS, HEADERS).split("\n")


def frame(draw: random.Random, wire: Wire, *, honest: bool) -> None:
    """Announce the body, and put it into chunks or not; sometimes with a lie."""
    if honest:
        wire.lines = [one for one in wire.lines if not re.match("(?i)content-length|transfer-encoding", one)]
        if wire.body and draw.random() < 0.3:
            wire.lines.append("Transfer-Encoding: chunked")
            wire.body = b"".join(chunk(piece) for piece in cut(draw, wire.body) if piece) + chunk(b"")
        elif wire.body or draw.random() < 0.5:
            wire.lines.append(f"Content-Length: {len(wire.body)}")
        return
    payload = wire.body or draw.randbytes(draw.choice([0, 0, 3]))
    wire.body = draw.choice(LIES)(draw, payload)


LIES: list[Callable[[random.Random, bytes], bytes]] = [
    lambda _, data: data + b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n",
    lambda _, data: data[:-1],
    lambda _, data: chunk(data) + chunk(b"") + b"x",
    lambda _, data: b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(data), data),
    lambda _, data: b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(data), data),
    lambda _, data: b"%x\n%s\n0\n\n" % (len(data), data),
    lambda _, data: b"fffffffff\r\n" + data,
    lambda _, data: b"%x\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(data), data),
    lambda draw, data: mutated_bytes(draw, chunk(data) + chunk(b"")),
]


def chunk(payload: bytes) -> bytes:
    """A piece of a body as a chunk; an empty piece ends the body."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def cut(draw: random.Random, data: bytes) -> list[bytes]:
    at = sorted(draw.randint(0, len(data)) for _ in range(draw.choice([0, 1, 2, 6])))
    return [data[begin:end] for begin, end in zip([0, *at], [*at, len(data)], strict=True)]
