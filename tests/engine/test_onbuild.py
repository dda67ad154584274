"""The line of a step that failed is right also where a base image or a stage brings steps of its own (ONBUILD)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from grader.engine.docker_engine import DockerEngine, connect
from grader.models import BuildFailed, Built
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from tests.engine.contexts import BASE, LIMITS, ignore, make_job
from tests.engine.test_private import why_not_nested

pytestmark = [pytest.mark.engine, pytest.mark.private]

TRIGGERS = f"FROM {BASE}\nONBUILD RUN echo one\nONBUILD RUN echo two\n"
ON_AN_IMAGE = "FROM onbuild:1\nARG WORD=first\nRUN echo $WORD\nRUN exit 3\n"
ON_A_STAGE = f"FROM {BASE} AS below\nONBUILD RUN echo one\nFROM below\nARG WORD=first\nRUN echo $WORD\nRUN exit 3\n"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    with connect(builder="buildkit") as host:
        if reason := why_not_nested(host.connection):
            pytest.skip(f"no engine can run in a container here: {reason}")
        settings = PrivateSettings((BASE,), os.environ)
        with start_private_engine(host, settings, print) as private:
            yield private


@pytest.mark.parametrize(("dockerfile", "own"), [(ON_AN_IMAGE, (3, 4)), (ON_A_STAGE, (5, 6))], ids=["image", "stage"])
def test_a_step_has_its_own_line(private: PrivateEngine, dockerfile: str, own: tuple[int, int]) -> None:
    with connect(endpoint="nested", open_stream=private.open_stream, tier="private", builder="buildkit") as engine:
        _make_base(engine)
        failed = engine.build(make_job(dockerfile), LIMITS, ignore)
        assert isinstance(failed, BuildFailed)
        assert failed.line == own[1]
        lines = {step.name.split("] ", 1)[1]: step.line for step in failed.steps}
        assert lines["RUN exit 3"] == own[1]
        assert [line for name, line in lines.items() if name == "RUN echo first"] == [own[0]]
        assert not {line for name, line in lines.items() if name in {"RUN echo one", "RUN echo two"}} & set(own)


def _make_base(engine: DockerEngine) -> None:
    made = engine.build(make_job(TRIGGERS), LIMITS, ignore)
    assert isinstance(made, Built)
    engine.tag_image(made.image, "onbuild:1")
