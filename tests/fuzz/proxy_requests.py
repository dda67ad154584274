"""Requests to the proxy: those that the real docker command and Compose sent, after some changes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def recorded_requests() -> list[tuple[str, str]]:
    """What the real docker command and Compose sent: the head's lines, and the body."""
    commands = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    sent = [request for command in commands for request in command["requests"]]
    return sorted({(request["head"], request["body"]) for request in sent})


REQUESTS = [(head.split("\n"), body) for head, body in recorded_requests()]
WITH_BODY = [one for one in REQUESTS if one[1]]


def _words(text: str) -> list[str]:
    return text.split()


# ── what is put in ──────────────────────────────────────────────────────────────────────

KEYS = _words("""\
Privileged CapAdd Devices DeviceRequests DeviceCgroupRules PidMode IpcMode UTSMode UsernsMode CgroupnsMode
NetworkMode SecurityOpt Sysctls Runtime VolumeDriver CgroupParent MaskedPaths ReadonlyPaths OomKillDisable
OomScoreAdj StorageOpt Annotations Binds Mounts VolumesFrom Tmpfs LogConfig HostConfig NetworkingConfig
EndpointsConfig DriverOpts DriverConfig VolumeOptions BindOptions Subpath Propagation Type Source Target Image
Cmd Env OnBuild Volumes Labels Name Driver Options ConfigFrom ClusterVolumeSpec Detach Tty User Healthcheck
IPAM PortBindings Links ExtraHosts Surprise __proto__
""")
VALUES = [
    *_words(r"""true 1 0 -1 "" null [] {} "host" "HOST" "container:x" "ns:/proc/1/ns/net" ["SYS_ADMIN"]
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
    *_words(r"""/v1.45 /v1.24 /v9.9 /v1.045 /v1.45/v1.45 // /.. /./ /%2e%2e %2f %00 \ ;x=y #x ? & = ?a=1 %zz
    ?fromImage=evil
    &remote=http://x ?t=a&t=b &networkmode=host %0d%0aX:%20y /containers/x/archive?path=/ /containers/x/export
    /images/x/push /images/load /commit /swarm/init /images/create?fromImage=x /auth /grpc /session /build /images/get
    /x/json /create /exec /networks/host/connect /plugins/pull?remote=x /containers/a..b/json /a:b@c/json &filters={}
    &filters=%7B%22a%22%3A%7B%7D%7D &filters=%5B%5D &all=yes &tail=-1 &t=1e9 http://x/info"""),
    *(" ", "\t", "\x85", "\u0130"),
]
METHODS = ["GET", "POST", "HEAD", "DELETE", "PUT", "get", "CONNECT", "OPTIONS", "PRI", "G\u0415T", ""]
WORDS = [*KEYS, *VALUES[:34], *HEADERS, *TARGETS]


def request(draw: random.Random) -> Wire:
    """A recorded request after some changes, in the framing that its head announces or in another."""
    lines, text = draw.choice(WITH_BODY) if draw.random() < 0.6 else draw.choice(REQUESTS)
    wire = Wire(list(lines), text.encode())
    kept = draw.random() < 0.75  # else the head is a matter of chance
    if text and draw.random() < 0.9:
        wire.body = draw.choice([keys_changed] * 6 + [text_changed, bytes_changed])(draw, text)
    if draw.random() < 0.35:
        draw.choice(HEAD_CHANGES)(draw, wire)
    frame(draw, wire, honest=kept)
    return wire


def keys_changed(draw: random.Random, text: str) -> bytes:
    """The document with keys that are new, doubled or spelled otherwise, or with other values."""
    value = json.loads(text, object_pairs_hook=Twins)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        there = list(objects(value))
        pairs = max(there, key=len) if draw.random() < 0.5 else draw.choice(there)  # of a container: HostConfig
        draw.choice(PAIR_CHANGES)(draw, pairs)
    return written(value).encode("utf-8", "surrogatepass")


class Twins(list[tuple[str, Any]]):
    """An object whose names may be there twice."""


class Raw(str):
    """JSON, or what looks like it, as it is to be written."""

    __slots__ = ()


def objects(value: object) -> Iterator[Twins]:
    """Every object of a document."""
    if isinstance(value, Twins):
        yield value
        for _, one in value:
            yield from objects(one)
    elif isinstance(value, list):
        for one in value:
            yield from objects(one)


def written(value: object) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Twins):
        names = (name if isinstance(name, Raw) else json.dumps(name) for name, _ in value)
        return "{" + ",".join(f"{name}:{written(one)}" for name, (_, one) in zip(names, value, strict=True)) + "}"
    return "[" + ",".join(written(one) for one in value) + "]" if isinstance(value, list) else json.dumps(value)


def added(draw: random.Random, pairs: Twins) -> None:
    pairs.insert(draw.randint(0, len(pairs)), (draw.choice(KEYS), Raw(draw.choice(VALUES))))


def spelled(draw: random.Random, pairs: Twins) -> None:
    if not pairs:
        return
    at = draw.randrange(len(pairs))
    pairs[at] = (spelling(draw, pairs[at][0]), pairs[at][1])


def doubled(draw: random.Random, pairs: Twins) -> None:
    if pairs:
        name, value = draw.choice(pairs)
        pairs.insert(
            draw.randint(0, len(pairs)), (spelling(draw, name), draw.choice([value, Raw(draw.choice(VALUES))]))
        )


def valued(draw: random.Random, pairs: Twins) -> None:
    if pairs:
        at = draw.randrange(len(pairs))
        pairs[at] = (pairs[at][0], Raw(draw.choice(VALUES)))


DANGERS = [
    one.split("=", 1)
    for one in _words(r"""Privileged=true CapAdd=["SYS_ADMIN"] PidMode="host" IpcMode="host" UTSMode="host"
    UsernsMode="host"
    CgroupnsMode="host" NetworkMode="Host" NetworkMode="ns:/proc/1/ns/net" Devices=[{"PathOnHost":"/dev/sda"}]
    SecurityOpt=["apparmor=unconfined"] Runtime="x" CgroupParent="/" Sysctls={"a":"b"} OomKillDisable=true
    MaskedPaths=["/x"] Binds=["/etc:/x"] Binds=["/submission/..:/x"] DriverOpts={"device":"/"} Options={"device":"/"}
    EndpointsConfig={"host":{}}""")
]


def endangered(draw: random.Random, pairs: Twins) -> None:
    """A setting as it would be asked for, in the place of the harmless one."""
    name, value = draw.choice(DANGERS)
    pairs[:] = [*(pair for pair in pairs if pair[0] != name), (name, Raw(value))]


def dropped(draw: random.Random, pairs: Twins) -> None:
    if pairs:
        del pairs[draw.randrange(len(pairs))]


PAIR_CHANGES: list[Callable[[random.Random, Twins], None]] = [
    *(added, added, spelled, doubled, valued, valued, endangered, endangered, dropped)
]


def spelling(draw: random.Random, name: str) -> str:
    """The same key to a decoder that does not look at case, or nearly."""
    match draw.randrange(6):
        case 0:
            return name.swapcase()
        case 1:
            return name.lower()
        case 2:
            return name.replace("s", "\u017f").replace("k", "\u212a").replace("K", "\u212a")
        case 3:
            return Raw('"' + "".join(f"\\u{ord(one):04x}" for one in name[:40] if ord(one) < 0x10000) + '"')
        case 4:
            return name + draw.choice(["\0", " ", "\u200b", "."])
        case _:
            return name


def text_changed(draw: random.Random, text: str) -> bytes:
    return mutated_text(draw, text, WORDS, [text]).encode("utf-8", "surrogatepass")


def bytes_changed(draw: random.Random, text: str) -> bytes:
    return mutated_bytes(draw, text.encode())


def target_changed(draw: random.Random, wire: Wire) -> None:
    method, _, rest = wire.lines[0].partition(" ")
    target, _, version = rest.rpartition(" ")
    at = draw.choice([len(target), len(target), 0, draw.randint(0, len(target))])
    wire.lines[0] = f"{method} {target[:at]}{draw.choice(TARGETS)}{target[at:]} {version}"


def replaced(draw: random.Random, wire: Wire) -> None:
    method, _, _ = wire.lines[0].partition(" ")
    wire.lines[0] = f"{method} {draw.choice(['', '/v1.45'])}{draw.choice(TARGETS)} HTTP/1.1"


def method_changed(draw: random.Random, wire: Wire) -> None:
    wire.lines[0] = f"{draw.choice(METHODS)} {wire.lines[0].partition(' ')[2]}"


def header_added(draw: random.Random, wire: Wire) -> None:
    wire.lines.insert(draw.randint(0, len(wire.lines)), draw.choice(HEADERS))


def headers_mixed(draw: random.Random, wire: Wire) -> None:
    wire.lines = mutated_text(draw, "\n".join(wire.lines), WORDS, HEADERS).split("\n")


HEAD_CHANGES = [target_changed, target_changed, replaced, method_changed, header_added, header_added, headers_mixed]


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
    lambda _, data: data,
    lambda _, data: data + b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n",
    lambda _, data: data[:-1],
    lambda _, data: chunk(data),
    lambda _, data: chunk(data) + chunk(b"") + b"x",
    lambda _, data: b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(data), data),
    lambda _, data: b"%08X\r\n%s\r\n00\r\n\r\n" % (len(data), data),
    lambda _, data: b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(data), data),
    lambda _, data: b"%x\n%s\n0\n\n" % (len(data), data),
    lambda _, data: b"fffffffff\r\n" + data,
    lambda _, data: b"7fffffff\r\n" + data,
    lambda _, data: b"%x\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(data), data),
    lambda draw, data: mutated_bytes(draw, chunk(data) + chunk(b"")),
]


def chunk(payload: bytes) -> bytes:
    """A piece of a body as a chunk; an empty piece ends the body."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def cut(draw: random.Random, data: bytes) -> list[bytes]:
    at = sorted(draw.randint(0, len(data)) for _ in range(draw.choice([0, 1, 2, 6])))
    return [data[begin:end] for begin, end in zip([0, *at], [*at, len(data)], strict=True)]
