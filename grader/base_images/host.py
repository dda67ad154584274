"""What a base image built here takes along from this host, and what this host needs to build one.

Taken along: the certificates the host trusts, the parts of pip's configuration that can be true in an image, as a file
and as the variables of other installers, and the package archives, so that `RUN pip install`, `uv`, `poetry` and
`apt-get` work behind an inspecting proxy or with a mirror.
"""

from __future__ import annotations

import configparser
import contextlib
import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from grader.errors import ImageUnavailable

SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its relatives keep all certificates in one file; on this host and in the image."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ADMINISTRATOR_PATHS = "/usr/local/sbin:/usr/sbin:/sbin"

_URL_SETTINGS = ("index-url", "extra-index-url", "proxy")
_PIP_SETTINGS = (*_URL_SETTINGS, "trusted-host", "timeout", "retries")
_PIP_SECONDS = 15.0
"""The longest pip waits in an image for an answer (its own default is 15), and tries again, five times unless told
otherwise. On a host it may be minutes; in a build, one connection that hangs would take all the time there is."""
INSTALLER_VARIABLES = {
    "SSL_CERT_FILE": "cert",
    "REQUESTS_CA_BUNDLE": "cert",
    "PIP_CERT": "cert",
    "UV_DEFAULT_INDEX": "index-url",
    "UV_INDEX": "extra-index-url",
    "UV_INSECURE_HOST": "trusted-host",
    "PIPENV_PYPI_MIRROR": "index-url",
}
"""Variables of an image from which uv, Poetry, pipenv and Python's libraries read what pip's settings say."""
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_OTHERWISE = "or put the image into the engine yourself (`docker load`)."


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Texts of a pip.conf and of a file of certificates (PEM), variables for the recipe, notes on what is left out.

    `installers` are variables of the image, from which installers other than pip read the same settings.
    """

    pip: str
    certificates: str
    variables: Mapping[str, str]
    installers: Mapping[str, str]
    notes: tuple[str, ...]


def host_settings(environment: Mapping[str, str]) -> HostSettings:
    """Read what an image takes along from this host's files, its package manager and `environment`."""
    settings, notes = pip_settings(_pip_files(environment), environment)
    archives = _package_archives(environment)
    variables = {
        "PATH": _search_path(environment),
        "MIRROR": archives.get("Debian", ""),
        "SECURITY": archives.get("Debian-Security", ""),
        **{name: environment[name] for name in _PROXY_VARIABLES if environment.get(name)},
    }
    installers = {name: settings[setting] for name, setting in INSTALLER_VARIABLES.items() if setting in settings}
    return HostSettings(pip_conf(settings), certificates(environment), variables, installers, notes)


def pip_settings(files: Iterable[Path], environment: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return pip's settings for an image, and notes on what they leave out of this host's.

    `files` are read in turn, what counts least first, then variables such as PIP_INDEX_URL. Left out are addresses
    that mean nothing in an image (folders, this very machine), and those with a password, which the build of every
    student could read. Several addresses stand in one value, with blanks between them.
    """
    parser = configparser.RawConfigParser()
    notes: list[str] = []
    for path in files:
        try:
            parser.read(path, encoding="utf-8")
        except (ValueError, configparser.Error) as problem:
            notes.append(f"{path} is not taken along: {str(problem).splitlines()[0]}")
    found = [item for one in ("global", "install") if parser.has_section(one) for item in parser.items(one)]
    found += [(name, environment.get("PIP_" + name.upper().replace("-", "_"), "")) for name in _PIP_SETTINGS]
    settings = {name: value for name, value in found if value and name in _PIP_SETTINGS}
    with contextlib.suppress(KeyError, ValueError):  # what is no number is for pip to complain about
        settings["timeout"] = f"{min(float(settings['timeout']), _PIP_SECONDS):g}"
    kept = {"cert": SYSTEM_CERTIFICATES}
    for name, value in settings.items():
        refused = {word: reason for word in value.split() if name in _URL_SETTINGS and (reason := _refusal(word))}
        notes += [f"pip's {name} is not taken along: {reason}" for reason in dict.fromkeys(refused.values())]
        if words := [word for word in value.split() if word not in refused]:
            kept[name] = " ".join(words)
    return kept, tuple(notes)


def pip_conf(settings: Mapping[str, str]) -> str:
    """Return the text of a pip.conf with these settings."""
    lines = [f"{name} = " + "\n    ".join(value.split()) for name, value in settings.items()]
    return "\n".join(["[global]", *lines, ""])


def _pip_files(environment: Mapping[str, str]) -> list[Path]:
    """Return where pip looks for its configuration, what counts least first.

    Source: pip's user guide, "Configuration", the part on Linux.
    """
    home = Path(environment.get("HOME") or Path.home())
    shared = [Path(folder) for folder in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if folder]
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [*(folder / "pip/pip.conf" for folder in shared), Path("/etc/pip.conf")]
    files += [home / ".pip/pip.conf", own / "pip/pip.conf"]
    return [*files, *([Path(named)] if (named := environment.get("PIP_CONFIG_FILE")) else [])]


def _refusal(address: str) -> str:
    """Return why an address of this host is of no use in an image, or an empty string."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"}:
        return "it is a place on this machine's disk"
    if parts.username or parts.password:
        return "it holds a name or a password, which students could read in the image"
    host = parts.hostname or "localhost"
    with contextlib.suppress(ValueError):
        host = "localhost" if ipaddress.ip_address(host).is_loopback else host
    return "it is an address of this machine" if host == "localhost" else ""


def certificates(environment: Mapping[str, str]) -> str:
    """Return every certificate that programs on this host trust, as PEM, each once."""
    named = [environment[name] for name in _CERTIFICATE_VARIABLES if environment.get(name)]
    paths = [Path(path) for path in dict.fromkeys([*named, SYSTEM_CERTIFICATES])]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]
    return "\n".join([*dict.fromkeys(found for text in texts for found in _CERTIFICATE.findall(text)), ""])


def _package_archives(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the package archives of this host by the label they give themselves (`Debian`, `Debian-Security`)."""
    apt = shutil.which("apt-get", path=_search_path(environment))
    if apt is None:
        return {}
    command = [apt, "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    pairs = [line.split(" ", 1) for line in lines if " " in line]
    return {label: address for label, address in reversed(pairs) if not _refusal(address)}


def check_tools(environment: Mapping[str, str]) -> None:
    """Raise `ImageUnavailable` if a program or file that building needs is not installed."""
    missing = [] if shutil.which("debootstrap", path=_search_path(environment)) else ["debootstrap"]
    # Without the keys debootstrap would only warn, and take packages that nobody has signed.
    missing += [] if KEYRING.is_file() else ["debian-archive-keyring"]
    if missing:
        raise ImageUnavailable(
            f"No registry gave the base image, and to build it from Debian packages {' and '.join(missing)} must be"
            f" installed. Run `sudo apt-get install {' '.join(missing)}` and try again, {_OTHERWISE}"
        )


def as_administrator(environment: Mapping[str, str]) -> list[str]:
    """Return what to put before a command to run it as root: nothing, or sudo where it asks for no password.

    Raises `ImageUnavailable` where there is no such way.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo", path=_search_path(environment))
    if sudo and subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode == 0:
        return [sudo, "-n"]
    raise ImageUnavailable(
        "No registry gave the base image, and to build it from Debian packages takes root. Run `sudo -v` and try again"
        f" within a few minutes, run this as root, {_OTHERWISE}"
    )


def _search_path(environment: Mapping[str, str]) -> str:
    """Return PATH with the folders of an administrator's programs, which an ordinary user's may lack."""
    return f"{environment.get('PATH', os.defpath)}:{ADMINISTRATOR_PATHS}"
