"""Every text of an engine or a builder that is matched: for another engine's wording, change this module. Pure.

Nothing here decides points. It separates faults of the Dockerfile or the image from those of the engine, and finds the
step or the line that a message belongs to. What a student wrote stands in the middle of a builder's errors, never at
their ends, so only the ends are compared; what a step printed is never looked at.

Seen in Engines 20.10, 26.1 and 28.5, and in Podman 5.4. What is not known here counts as the engine's fault: the
exercise is not graded.
"""

from __future__ import annotations

import re

_BLOCKED_PATH = re.compile(
    r"not a directory$|too many levels of symbolic links$|too many links in "
    r"|(?:open|mkdir) /\S+: (?:no such file or directory|file exists)$|^Could not find the file / in container "
)
_NOT_EXECUTABLE = {126, 127}
"""What an engine sets as the exit code where the command cannot be executed, or is not there (as a shell does)."""
_RUNTIME = re.compile("cgroup|mounting|rlimit")
"""Words of the engine about its own work, which it reports with the same codes."""
_IMAGE_FAULT = re.compile(
    "unable to find user|unable to find group|no matching entries in|exec format error|uids and gids must be in range"
    r"|^Cannot mkdir: .* is not a directory$"  # WORKDIR is a file of the image
    r"|^invalid mount config for type \"volume\": |^Duplicate mount point: |^source .* is not directory$"  # VOLUME
    "|too many links in|too many levels of symbolic links"
    "|cannot be mounted because it is (?:not of type proc|inside /proc)"  # a VOLUME or /tmp that leads to /proc
    r"|not a directory: unknown: Are you trying to mount a directory onto a file \(or vice-versa\)\?"
    r"|: exec: [^\n]*: OCI (?:runtime attempted to invoke a command that was not found|permission denied)$",  # Podman
    re.DOTALL,
)
"""Faults of an image's USER, VOLUMEs, folders and command that come with no exit code of their own."""
_NOT_MOUNTED = re.compile(
    r'.*error mounting "[^"]*" to rootfs at "(?P<path>[^"]*)": .*?'
    r"(?P<why>not a directory|is a directory|too many levels of symbolic links|no such file or directory"
    r"|cannot be mounted because it is (?:inside /proc|not of type proc))\b.*",
    re.DOTALL,
)
_ROOT_OF_CONTAINER = re.compile(r"/\S*?/[0-9a-f]{64}/merged(?=/)|^preparing container [0-9a-f]{64} for attach: ")
"""Where a container's file system is on the engine's own machine, and its id in Podman's words."""


def plain_refusal(reason: str) -> str:
    """Why a container was not started, without paths of the engine's own machine."""
    found = _NOT_MOUNTED.fullmatch(reason)
    if found is None:
        return _ROOT_OF_CONTAINER.sub("", reason)
    return f"Nothing can be mounted at {found['path']}, since the image has something else there: {found['why']}."


def is_blocked_path(reason: str) -> bool:
    """Whether files cannot be put in for what the image has in the way: a file, links in a circle or to nowhere."""
    return _BLOCKED_PATH.search(reason) is not None


def is_image_fault(reason: str, code: int | None = None) -> bool:
    """Whether a container cannot be made or started for its image's sake; `code` is the exit code after a start."""
    runtime = _RUNTIME.search(reason.partition("exec: ")[0])
    return (code in _NOT_EXECUTABLE and not runtime) or _IMAGE_FAULT.search(reason) is not None


BUILD_STEP = re.compile(
    r"\[(?:\S+/\S+ )?(?:(?P<stage>[^\s/\]]+) +)? *(?P<index>\d+)/(?P<total>\d+)\] (?P<text>.*)", re.DOTALL
)
"""The name that BuildKit gives to a step of the Dockerfile: `[build 2/4] RUN pip install numpy`."""
PARSE_ERROR = re.compile(r"(?:Dockerfile|dockerfile) parse error (?:on )?line (\d+)")

INTERNAL_STEP = re.compile(r"\[internal\] |copy /context |exporting to |preparing layers |importing cache ")
"""A step that a builder adds for itself; students did not write it."""
BASE_IMAGE_STEP = re.compile(r"\[[^\]]*\] FROM |resolve image config for |docker-image://")
"""A step that only gets a base image, so that its failure is nobody's doing."""
CANCELLED = "context canceled"
"""How the error of a step ends that was only cut off: by our doing, or since another step failed."""
_ENGINE_FAULT = re.compile(
    r"^rpc error: code = Unavailable"
    rf"|(no space left on device|{CANCELLED}|transport is closing|error reading from server: EOF)$"
)
"""What an engine says that has a full disk or is going down."""
_PROCESS_FAILED = re.compile(
    r"^(process \".*\" did not complete successfully|executor failed running \[.*\]): ", re.DOTALL
)
_PROCESS_ENDED = re.compile(r"exit code: \d+$")
_NOT_STARTED = re.compile(
    r"unable to find (user|group) |no matching entries in (passwd|group) file$|executable file not found in \$PATH"
    r"|no such file or directory|permission denied|not a directory|exec format error"
)
"""Why the process of a RUN was not even started, as far as the Dockerfile can be the reason."""
_LAYERS = re.compile(
    r"^(failed to solve(?: with frontend \S+)?: |failed to create LLB definition: |rpc error: code = \w+ desc = "
    r"|failed to compute cache key: |failed to calculate checksum of ref \S+: )+"
)
_NOT_FOUND = re.compile(r'^("[^"]*")(?: not found)?: not found$')
_NOT_IN_CONTEXT = re.compile(
    r"(?:failed to (?:compute cache key|calculate checksum)\b[^\n]*?)?"
    r"failed to walk (?P<context>/\S*?/buildkit-mount\d+)\S*: "
    r"lstat (?P=context)/(?P<path>[^\n]*?): no such file or directory"
)
"""How BuildKit says that a source of COPY is not there: by a path of its own machine."""
_PODMAN_STEP = re.compile(r'^building at STEP "[^\n]*?": ')
_PODMAN_NOT_IN_CONTEXT = re.compile(
    r'checking on sources under "[^"\n]*": copier: stat: ("[^"\n]*"): no such file or directory'
)


def plain_error(error: str) -> str:
    """A builder's error without the layers it went through, which differ between versions and from run to run."""
    inner = _NOT_FOUND.sub(r"\1 not found", _PODMAN_STEP.sub("", _LAYERS.sub("", error.rstrip())))
    inner = _PODMAN_NOT_IN_CONTEXT.sub(r"\1 not found in the build context", inner)
    return _NOT_IN_CONTEXT.sub(lambda found: f'"{found["path"]}" not found in the build context', inner)


def is_engine_fault(error: str) -> bool:
    """Whether this error of a step, or of the whole build, has a reason that is not in the Dockerfile."""
    if _ENGINE_FAULT.search(error):
        return True
    failed = _PROCESS_FAILED.match(error)
    if failed is None or _PROCESS_ENDED.search(error):
        return False
    return _NOT_STARTED.search(error, failed.end()) is None


CLASSIC_STEP = re.compile(r"(?:\[\d+/\d+\] )?S(?:tep|TEP) (?P<number>\d+)/(?P<total>\d+) ?: (?P<text>.*)", re.DOTALL)
"""Docker's, and Podman's with its number of the stage before it."""
CLASSIC_CACHED = re.compile(r" ---> Using cache\n|--> Using cache ")
CLASSIC_NOISE = re.compile(r" ---> |-->  ?[0-9a-f]{11,64}$|COMMIT|Removing intermediate container |\n*$")
CLASSIC_COLOUR = re.compile(r"\x1b\[(?:91|0)m")
"""The classic builder paints what is written to stderr red."""
