"""What goes into a container and comes out of it, as tars."""

from __future__ import annotations

import io
import tarfile

from grader.engine.files import FILES_LIMIT, files_of, files_tar
from grader.models import FolderMount, MemoryFile

NOW = 1_800_000_000


def test_a_folder_goes_into_a_tar_and_comes_back() -> None:
    folder = FolderMount("/app/logs", (MemoryFile("a.log", b"\xff\x00", 0o666), MemoryFile("b/c.log", b"", 0o666)))
    archive = files_tar([], [folder], NOW)
    empty = FolderMount("/app/logs")
    # the engine's own tar begins with the folder's last name, ours with its whole path
    assert files_of(empty, archive).files[0].path == "logs/a.log"
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert {(member.mtime, member.mode) for member in opened} == {(NOW, 0o777), (NOW, 0o666)}
    assert files_of(empty, archive[:700]).files == ()  # cut before the first file's content
    assert files_of(empty, b"no tar at all").files == ()
    many = FolderMount("/f", tuple(MemoryFile(f"{number:04}", b"x") for number in range(FILES_LIMIT + 9)))
    assert len(files_of(FolderMount("/f"), files_tar([], [many], NOW)).files) == FILES_LIMIT
