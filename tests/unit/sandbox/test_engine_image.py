"""What the image of private engines is built from."""

from __future__ import annotations

from grader.dockerfile.parser import Dockerfile, parse
from grader.sandbox.engine_image import RELEASE, _recipe


def test_the_recipe_is_a_dockerfile_on_the_given_base_with_what_the_machine_knows_of_packages() -> None:
    proxies = {"http_proxy": "http://127.0.0.1:3128", "https_proxy": "http://proxy.example:3128", "no_proxy": "a b"}
    files = {file.path: file.content for file in _recipe("python:3.9-slim", proxies)}
    assert isinstance(parse(files["Dockerfile"]), Dockerfile)
    assert b"\nARG BASE=python:3.9-slim\nFROM ${BASE} AS debian\n" in files["Dockerfile"]
    settings = files["settings.sh"].decode().splitlines()
    assert {f"export RELEASE={RELEASE}", "export https_proxy=http://proxy.example:3128", "export no_proxy='a b'"} <= {
        *settings
    }
    assert not [line for line in settings if "127.0.0.1" in line], "in a build, that is another machine"
    assert {"install.sh", "start.sh", "apt.conf"} <= files.keys()
