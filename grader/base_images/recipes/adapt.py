"""Undo what Debian changes in its Python, in a copy of it below /usr/local, inside a new file system.

Runs once, as root, under the copy itself, so only the standard library of Python 3.9 and later is used. What it
changes: where packages are looked for and installed (site-packages below the prefix, as upstream, not dist-packages),
`ensurepip` (works, with the newest pip), the certificates (those of the host are added) and pip's configuration
(that of the host).
"""

import compileall
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

RECIPES = Path(__file__).parent
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
STANDARD_LIBRARY = Path("/usr/local/lib") / VERSION
EXECUTABLE = Path("/usr/local/bin") / VERSION
SITE_PACKAGES = STANDARD_LIBRARY / "site-packages"
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")

CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Where Debian's `site` looks for packages. Since 3.11 that module is frozen into the executable, so the words are
# changed there, each into one of the same length: lib/python3.x/site-packages is then found, and stands first.
FOLDER_NAMES = ((rb"dist-packages", b"site-packages"), (rb"(?<!/)local/lib", b"./././lib"))
# Each replaces the line that it ends with; a release that does not have that line stops the build.
SYSCONFIG = """def _get_preferred_schemes():
    return {"prefix": "posix_prefix", "home": "posix_home", "user": "posix_user"}


def get_preferred_scheme("""
DISTUTILS = """
for _debian in ("unix_local", "deb_system"):
    INSTALL_SCHEMES[_debian] = INSTALL_SCHEMES["unix_prefix" if "unix_prefix" in INSTALL_SCHEMES else "posix_prefix"]
"""
# Printed by a new process once everything is in place. The modules are those that need a library of the system.
LAYOUT = """
import bz2, ctypes, curses, dbm, decimal, hashlib, lzma, readline, sqlite3, ssl, uuid, zlib
import json, os, pip, site, shutil, sys, sysconfig
paths = {name: sysconfig.get_path(name) for name in ("purelib", "platlib", "scripts")}
pip_is_in = os.path.dirname(os.path.dirname(pip.__file__))
first = os.path.realpath(site.getsitepackages()[0])
print(json.dumps({"prefix": sys.prefix, **paths, "site": first, "pip": [pip_is_in, shutil.which("pip")]}))
"""
# As in the official images: from 3.12 on pip comes alone. Setuptools 81 dropped pkg_resources, which old tutorials
# import; wheel 0.46 began to need another package.
BUNDLED = ("pip",) if sys.version_info >= (3, 12) else ("pip", "setuptools<81", "wheel<0.46")


def main(debian_wheels: Path) -> None:
    """Carry out every step; any failure ends the build with a traceback."""
    for path in (STANDARD_LIBRARY / "site.py", EXECUTABLE):
        look_in_site_packages(path)
    if sys.version_info >= (3, 10):
        folder = "sysconfig/__init__.py" if (STANDARD_LIBRARY / "sysconfig").is_dir() else "sysconfig.py"
        replace(folder, "def get_preferred_scheme(", SYSCONFIG)
    if (STANDARD_LIBRARY / "distutils").is_dir():
        adapt_distutils()
    remove_debian_files()
    SITE_PACKAGES.mkdir(exist_ok=True)
    add_certificates(RECIPES / "certificates.pem")
    shutil.copyfile(RECIPES / "pip.conf", "/etc/pip.conf")
    install_pip(debian_wheels)
    compileall.compile_dir(STANDARD_LIBRARY, quiet=2)
    verify()


def look_in_site_packages(path: Path) -> None:
    """Change the names of folders in the source of `site`, or in the executable that holds it."""
    content = path.read_bytes()
    for old, new in FOLDER_NAMES:
        content = re.sub(old, new, content)
    # A running executable cannot be written to, but another file can take its name.
    changed = path.with_name(f"{path.name}.new")
    changed.write_bytes(content)
    shutil.copymode(path, changed)
    changed.replace(path)


def replace(name: str, old: str, new: str) -> None:
    """Replace the one place in a file of the standard library that reads `old`."""
    path = STANDARD_LIBRARY / name
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"E: {path} was expected to hold {old!r} once, and holds it {text.count(old)} times")
    path.write_text(text.replace(old, new), encoding="utf-8")


def adapt_distutils() -> None:
    """Let distutils, which pip uses under Python 3.9, install into the same folders."""
    command = STANDARD_LIBRARY / "distutils/command/install.py"
    command.write_text(command.read_text(encoding="utf-8") + DISTUTILS, encoding="utf-8")
    replace("distutils/command/install.py", "if os.path.normpath(self.prefix) == '/usr/local':", "if False:")
    replace(
        "distutils/sysconfig.py",
        "is_default_prefix = not prefix or os.path.normpath(prefix) in ('/usr', '/usr/local')",
        "is_default_prefix = False",
    )


def remove_debian_files() -> None:
    """Remove what has no place in the copy: hooks of Debian, and the libraries for embedding."""
    for name in ("EXTERNALLY-MANAGED", "sitecustomize.py", "_distutils_system_mod.py"):
        (STANDARD_LIBRARY / name).unlink(missing_ok=True)
    for tests in ("test", "lib2to3/tests", "distutils/tests"):
        shutil.rmtree(STANDARD_LIBRARY / tests, ignore_errors=True)
    for library in STANDARD_LIBRARY.glob("config-*/*.a"):
        library.unlink()


def add_certificates(bundle: Path) -> None:
    """Add the certificate authorities of `bundle` (PEM, each once) that the system does not know yet."""
    known = {decoded(text) for text in CERTIFICATE.findall(SYSTEM_CERTIFICATES.read_text(encoding="ascii"))}
    texts = CERTIFICATE.findall(bundle.read_text(encoding="ascii"))
    new = {der: text for text in texts if (der := decoded(text)) and der not in known}
    LOCAL_CERTIFICATES.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(new.values(), start=1):
        (LOCAL_CERTIFICATES / f"host-{number}.crt").write_text(text + "\n", encoding="ascii")
    subprocess.run(["update-ca-certificates"], check=True, stdout=subprocess.DEVNULL)


def decoded(text: str) -> bytes:
    """Return a certificate as DER, which unlike PEM has only one form; nothing if it is damaged."""
    try:
        return ssl.PEM_cert_to_DER_cert(text)
    except ValueError:
        return b""


def install_pip(debian_wheels: Path) -> None:
    """Install the newest pip, and before Python 3.12 setuptools and wheel, and bundle them for new environments."""
    package = STANDARD_LIBRARY / "ensurepip"
    bundle = package / "_bundled"
    shutil.rmtree(package, ignore_errors=True)
    bundle.mkdir(parents=True)
    shutil.copyfile(RECIPES / "ensurepip.py", package / "__init__.py")
    (package / "__main__.py").write_text("import ensurepip\n\nensurepip.main()\n", encoding="utf-8")
    old_pip = ":".join(map(str, debian_wheels.glob("*.whl")))
    run("-m", "pip", "download", "--no-deps", "--dest", bundle, *BUNDLED, PYTHONPATH=old_pip)
    new_pip = next(bundle.glob("pip-*.whl"))
    run("-m", "pip", "install", "--no-index", "--find-links", bundle, *BUNDLED, PYTHONPATH=str(new_pip))


def run(*arguments: "str | Path", **environment: str) -> str:
    """Run this Python with arguments; return what it printed. What it complains of goes to the log."""
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    command = [str(EXECUTABLE), *map(str, arguments)]
    done = subprocess.run(command, check=True, env={**os.environ, **settings, **environment}, stdout=PIPE, text=True)
    return str(done.stdout)


def verify() -> None:
    """Stop the build where the result is not laid out as an official Python image."""
    seen = json.loads(run("-c", LAYOUT))
    site = str(SITE_PACKAGES)
    expected = {
        "prefix": "/usr/local",
        "purelib": site,
        "platlib": site,
        "scripts": "/usr/local/bin",
        "site": site,
        "pip": [site, "/usr/local/bin/pip"],
    }
    if seen != expected:
        raise SystemExit(f"E: {VERSION} was expected to be laid out as {expected}, and is laid out as {seen}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
