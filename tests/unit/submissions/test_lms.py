"""Bulk downloads of platforms: whose each file is, what of it is graded, and that no student harms another."""

from __future__ import annotations

import os
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grader.course.models import Limits
from grader.errors import UsageError
from grader.submissions.lms import Submissions, open_submissions
from grader.submissions.models import ExerciseFiles, RefusedFolder
from grader.submissions.reader import Selection
from tests.archives import Tree, tar_gz, zipped

LIMITS = Limits(context_files=20, context_mb=1)
IDS = ("3.1.1", "3.1.3", "3.1.4")
ALL = Selection(IDS, IDS, LIMITS)
ONE = Selection(("3.1.4",), IDS, LIMITS)

Handed = dict[str, ExerciseFiles | RefusedFolder]


def as_zip(folder: Path, members: Tree) -> Path:
    (folder / "download.zip").write_bytes(zipped(members))
    return folder / "download.zip"


def as_folder(folder: Path, members: Tree) -> Path:
    for name, content in members.items():
        path = folder / "download" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "download"


def packed_twice(folder: Path, members: Tree) -> Path:
    around = {f"CS101-Docker-42/{name}": content for name, content in members.items()}
    return as_zip(folder, {**around, "__MACOSX/CS101-Docker-42/._x": "", "CS101-Docker-42/.DS_Store": ""})


Pack = Callable[[Path, Tree], Path]
PACKS = pytest.mark.parametrize("pack", [as_zip, as_folder, packed_twice])


def taken(submissions: Submissions, selection: Selection = ALL) -> dict[str, Handed]:
    return {
        one.student: {item.exercise: item for item in submissions.read(one.path, selection).exercises}
        for one in submissions.handins
    }


def files(found: ExerciseFiles | RefusedFolder) -> dict[str, bytes]:
    assert isinstance(found, ExerciseFiles), found
    return {file.path: file.content for file in found.files}


def told(found: ExerciseFiles | RefusedFolder) -> str:
    assert isinstance(found, RefusedFolder), found
    return "\n".join(refusal.message for refusal in found.refusals)


BOTH: Tree = {"3.1.1/Dockerfile": "one", "3.1.4/Dockerfile": "four"}
WORK = zipped(BOTH)
WRAPPED = zipped({f"my work/{name}": text for name, text in BOTH.items()})


# ── whose it is ─────────────────────────────────────────────────────────────────────────


@PACKS
@pytest.mark.parametrize(
    "ada",
    [
        {"_/work.zip": WORK},
        {"/work.zip": WORK},
        {"_work.zip": WRAPPED},
        {"_/work.tgz": tar_gz(BOTH)},
        {f"_/{name}": text for name, text in BOTH.items()},
        {"_3.1.1.zip": zipped({"Dockerfile": "one"}), "_3.1.4.zip": zipped({"3.1.4/Dockerfile": "four"})},
        {"_work.zip": WORK, "_README.txt": "hello"},
    ],
)
def test_moodle(tmp_path: Path, pack: Pack, ada: Tree) -> None:
    members: Tree = {f"Ada King_12_assignsubmission_file{name}": content for name, content in ada.items()}
    members |= {"Ada King_12_assignsubmission_onlinetext_onlinetext.html": "<p>Here it is</p>"}
    found = taken(open_submissions(pack(tmp_path, {**members, "Bob_7_assignsubmission_file_/3.1.3/x": ""})))
    assert sorted(found) == ["Ada King", "Bob"]
    assert {name: files(one) for name, one in found["Ada King"].items()} == {
        "3.1.1": {"Dockerfile": b"one"},
        "3.1.4": {"Dockerfile": b"four"},
    }
    assert list(found["Bob"]) == ["3.1.3"]


@PACKS
def test_canvas(tmp_path: Path, pack: Pack) -> None:
    members: Tree = {
        "kingada_12345_678910_work.zip": WORK,
        "kingada_12345_678911_notes.txt": "hello",
        "li_anna_LATE_12346_678912_my_1_2_work.zip": zipped({"3.1.3/x": "late"}),
        "notyet_12347_text.html": "<p>I could not</p>",
    }
    submissions = open_submissions(pack(tmp_path, members))
    found = taken(submissions)
    assert {student: sorted(handed) for student, handed in found.items()} == {
        "kingada": ["3.1.1", "3.1.4"],
        "li_anna": ["3.1.3"],
        "notyet": list(IDS),
    }
    assert told(found["notyet"]["3.1.1"]).startswith("notyet: only a text or an address was handed in")
    assert submissions.notes == (
        "Read as a bulk download of Canvas: 3 students.",
        "Late, says Canvas: li_anna.",
    )


@pytest.mark.parametrize(
    ("names", "students"),
    [
        (
            [f"{name}_assignsubmission_file_/w.zip" for name in ("Ada_1", "Ada_2", "Ada (2)_3", "Bob_4")],
            ["Ada (1)", "Ada (2)", "Ada (2) (3)", "Bob"],
        ),
        ([f"Participant_{n}_assignsubmission_file_/w.zip" for n in (7, 8)], ["Participant (7)", "Participant (8)"]),
        (["Zoe\u0308 \x1b[2J\u202e_1_assignsubmission_file_/w.zip"], ["Zoë \\x1b[2J\\u202e"]),
        (["Eve_6_assignsubmission_file_Ada_1_assignsubmission_file_work.zip"], ["Eve"]),
        (["eve_66_7777_ada_11_8888_work.zip", "ada_11_9999_work.zip"], ["ada", "eve"]),
        (  # eve_11 is the name of the third, and the fourth's file has a slash in its own
            ["ada_11_1001_w.zip", "bob_12_1002_w.zip", "eve_11_133_1003_w.zip", "mal_14_1004_a/w.zip"],
            ["ada", "bob", "eve", "mal"],
        ),
    ],
)
def test_nobody_takes_anothers_name_and_a_strange_one_spoils_nothing(
    tmp_path: Path, names: list[str], students: list[str]
) -> None:
    found = taken(open_submissions(as_zip(tmp_path, dict.fromkeys(names, WORK))))
    assert sorted(found) == students
    assert all(list(handed) == ["3.1.1", "3.1.4"] for handed in found.values())


def test_who_handed_in_by_mail_may_stand_beside_an_unpacked_download_of_moodle(tmp_path: Path) -> None:
    members: Tree = {
        "Ada_1_assignsubmission_file_/w.zip": WORK,
        "bob.zip": WORK,
        "cyd/3.1.3/x": "",
        "a": "",
    }
    submissions = open_submissions(as_folder(tmp_path, members))
    assert sorted(taken(submissions)) == ["Ada", "bob", "cyd"]
    assert submissions.notes[-1] == "Nobody's, left out: a."


METADATA = """\
---
submission_101:
  :submitters:
  - :name: Ada King
    :sid: '17'
    :email: ada@x.example
  - :name: Bob
    :email: bob@x.example
  :created_at: 2026-03-02 09:00:00.123456789 Z
  :score: 0.0
submission_102:
  :submitters:
  - :name: Bob
    :email: bob2@x.example
  :created_at: 2026-03-03 23:59:00 +01:00
"""


@PACKS
def test_gradescope_says_who_and_when_and_a_group_s_work_is_each_member_s(tmp_path: Path, pack: Pack) -> None:
    members: Tree = {
        "submission_metadata.yml": METADATA,
        "submission_101/3.1.4/Dockerfile": "four",
        "submission_102/work.zip": WORK,
    }
    submissions = open_submissions(pack(tmp_path, members))
    assert {one.student: (one.names, one.submitted) for one in submissions.handins} == {
        "Ada King": (("ada@x.example", "17"), "2026-03-02T09:00:00+00:00"),
        "Bob (bob@x.example)": (("bob@x.example",), "2026-03-02T09:00:00+00:00"),
        "Bob (bob2@x.example)": (("bob2@x.example",), "2026-03-03T22:59:00+00:00"),
    }
    found = taken(submissions)
    assert files(found["Ada King"]["3.1.4"]) == files(found["Bob (bob@x.example)"]["3.1.4"]) == {"Dockerfile": b"four"}
    assert sorted(found["Bob (bob2@x.example)"]) == ["3.1.1", "3.1.4"]


@PACKS
def test_a_students_own_file_does_not_make_a_download_gradescopes(tmp_path: Path, pack: Pack) -> None:
    mark = "Ada_1_assignsubmission_file_"
    members: Tree = {f"{mark}/submission_metadata.yml": METADATA, f"{mark}/3.1.4/Dockerfile": "four"}
    assert list(taken(open_submissions(pack(tmp_path, members)))) == ["Ada"]


def test_clones_are_called_by_what_their_names_do_not_have_in_common(tmp_path: Path) -> None:
    for name, date in (("lab-2-ada", "2026-03-02T10:00:00+01:00"), ("lab-2-mary-jane", "2026-03-04T10:00:00+01:00")):
        repository = tmp_path / name
        (repository / "3.1.1").mkdir(parents=True)
        (repository / "3.1.1/Dockerfile").write_text("FROM x", encoding="utf-8")
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_COMMITTER_DATE": date}
        environment |= {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
            subprocess.run(["git", *words], cwd=repository, env=environment, check=True)
        # What git would start, were it asked with the student's own configuration.
        with (repository / ".git/config").open("a", encoding="utf-8") as config:
            config.write(f"[core]\n fsmonitor = touch {tmp_path}/ran\n pager = touch {tmp_path}/ran\n")
    subprocess.run(["git", "pack-refs", "--all"], cwd=tmp_path / "lab-2-ada", check=True)
    submissions = open_submissions(tmp_path)
    assert [(one.student, one.names[-2:], one.submitted) for one in submissions.handins] == [
        ("ada", ("2-ada", "ada"), "2026-03-02T09:00:00+00:00"),
        ("mary-jane", ("mary-jane", "jane"), "2026-03-04T09:00:00+00:00"),
    ]
    assert submissions.notes == ("Read as clones of repositories: students are called as what follows lab-2-.",)
    assert list(taken(submissions)["ada"]) == ["3.1.1"]
    assert not (tmp_path / "ran").exists()


# ── what is no bulk download ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["alice/", "bob/"],
        ["alice.zip", "bob.tar.gz"],
        ["alice_12345_678910_work/", "bob_12346_678911_work/"],
        ["alice.zip", "kingada_12345_678910_work.zip"],
        ["alice/", "kingada_12345_678910_work.zip"],
        ["lab_2024_11_alice.zip", "lab_2024_11_bob.zip"],
        ["lab_2024_101_alice.zip", "lab_2024_102_bob.zip"],
        ["lab1_2024_101_alice.zip", "lab2_2024_102_bob.zip"],
        ["lab_1_101_ada.zip", "lab_2_102_bob.zip"],
        ["lab_1_100_ada.zip", "lab_2_100_bob.zip", "lab_3_100_cyd.zip"],
        ["a_2024_0101_alice.zip", "b_2024_0102_alice.zip"],
        ["lab_3_1_alice.zip"],
        ["Lab_30_1001_alice.zip"],
        ["alice_assignsubmission_file_/", "_1_assignsubmission_file_/"],
    ],
)
def test_ordinary_folders_stay_what_they_are(tmp_path: Path, names: list[str]) -> None:

    for name in names:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    submissions = open_submissions(tmp_path)
    assert submissions.notes == ()
    assert [one.path.name for one in submissions.handins] == sorted(name.rstrip("/") for name in names)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("class.zip", zipped({"alice/3.1.1/Dockerfile": ""}), "is no bulk download of Moodle, Canvas or Gradescope"),
        ("class.tar.gz", tar_gz({"alice/3.1.1/Dockerfile": ""}), "is no bulk download of Moodle, Canvas or Gradescope"),
        ("class.zip", b"hello", "damaged"),
        ("class.zip", None, "cannot be read: No such file"),
    ],
)
def test_what_is_neither_is_refused_with_what_was_looked_for(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=name) as raised:
        open_submissions(tmp_path / name)
    assert why in str(raised.value)


# ── what of it counts ───────────────────────────────────────────────────────────────────


@PACKS
def test_of_several_attempts_the_newest_counts(tmp_path: Path, pack: Pack) -> None:
    mark = "Ada_1_assignsubmission_file_"
    old, new = (zipped({"3.1.1/Dockerfile": text, "3.1.3/x": text}) for text in ("old", "new"))
    last = zipped({"3.1.1/Dockerfile": "last"})
    members: Tree = {f"{mark}/work-10.zip": last, f"{mark}/work.zip": old, f"{mark}/work-2.zip": new}
    submissions = open_submissions(pack(tmp_path, members))
    found = taken(submissions)["Ada"]
    assert files(found["3.1.1"]) == {"Dockerfile": b"last"}
    assert files(found["3.1.3"]) == {"x": b"new"}, "an exercise comes from the newest that has it"


def test_canvas_numbers_tell_which_attempt_is_the_newest(tmp_path: Path) -> None:
    old, new = (zipped({"3.1.1/Dockerfile": text}) for text in ("old", "new"))
    both: Tree = {"ada_11_2002_work.zip": new, "ada_11_2001_work-1.zip": old, "bob_12_3000_w.zip": WORK}
    assert files(taken(open_submissions(as_zip(tmp_path, both)))["ada"]["3.1.1"]) == {"Dockerfile": b"new"}
    same: Tree = {"ada_11_2002_work.zip": new, "ada_11_10001_work.zip": old, "bob_12_3000_w.zip": WORK}
    assert files(taken(open_submissions(as_zip(tmp_path, same)))["ada"]["3.1.1"]) == {"Dockerfile": b"old"}


def test_a_newest_attempt_that_cannot_be_read_is_not_passed_over_and_what_was_before_does_not_matter(
    tmp_path: Path,
) -> None:
    mark = "Ada_1_assignsubmission_file_"
    found = taken(open_submissions(as_zip(tmp_path, {f"{mark}/work.zip": WORK, f"{mark}/work-1.zip": b"PK"})))["Ada"]
    assert {name: told(one).partition(".zip: ")[0] for name, one in found.items()} == dict.fromkeys(IDS, "work-1")
    found = taken(open_submissions(as_zip(tmp_path, {f"{mark}/work.zip": b"PK", f"{mark}/work-1.zip": WORK})), ONE)[
        "Ada"
    ]
    assert files(found["3.1.4"]) == {"Dockerfile": b"four"}


TREES = st.dictionaries(
    st.sampled_from(
        ["Dockerfile", "a", "3.1.1/a", "3.1.4/Dockerfile", "w/3.1.4/b", "w.zip", "w-1.zip", "3.1.1.zip", ".."]
    ),
    st.sampled_from([b"x", WORK, WRAPPED, zipped({"Dockerfile": "bare"}), b"PK"]),
    max_size=4,
)


@given(TREES, TREES, st.sampled_from([ALL, ONE]))
@example({}, {"Dockerfile": b"x", "..": b"x"}, ALL)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_download_is_the_same_packed_and_unpacked(tmp_path: Path, ada: Tree, bob: Tree, selection: Selection) -> None:
    members: Tree = {f"Ada_1_assignsubmission_file_/{name}": it for name, it in ada.items() if name != ".."}
    members |= {f"Bob_2_assignsubmission_file_{name}": it for name, it in bob.items()}
    with tempfile.TemporaryDirectory(dir=tmp_path) as made:
        unpacked = as_folder(Path(made), {"Cyd_3_assignsubmission_file_/x": "", **members})
        packed = as_zip(Path(made), {"Cyd_3_assignsubmission_file_/x": "", **members})
        assert taken(open_submissions(packed), selection) == taken(open_submissions(unpacked), selection)


def test_the_same_exercise_in_two_archives(tmp_path: Path) -> None:
    mark = "Ada_1_assignsubmission_file_"
    found = taken(open_submissions(as_zip(tmp_path, {f"{mark}/a.zip": WORK, f"{mark}/b.zip": WORK})))["Ada"]
    assert files(found["3.1.1"]) == {"Dockerfile": b"one"}, "twice the same is no question"
    other = zipped({"3.1.1/Dockerfile": "other"})
    found = taken(open_submissions(as_zip(tmp_path, {f"{mark}/a.zip": WORK, f"{mark}/b.zip": other})))["Ada"]
    assert told(found["3.1.1"]) == "Ada: it was handed in more than once: in a.zip and b.zip. Keep one."
    assert files(found["3.1.4"]) == {"Dockerfile": b"four"}


@PACKS
@pytest.mark.parametrize(
    "handed",
    [
        {"Dockerfile": "four", "sales_predictor.py": "p"},
        {"work.zip": zipped({"Dockerfile": "four", "sales_predictor.py": "p"})},
        {"work.zip": zipped({"work/Dockerfile": "four", "work/sales_predictor.py": "p"})},
    ],
)
def test_files_in_no_exercises_folder_are_the_one_exercise_that_is_asked_for(
    tmp_path: Path, pack: Pack, handed: Tree
) -> None:
    submissions = open_submissions(
        pack(tmp_path, {f"Ada_1_assignsubmission_file_/{name}": it for name, it in handed.items()})
    )
    assert files(taken(submissions, ONE)["Ada"]["3.1.4"]) == {"Dockerfile": b"four", "sales_predictor.py": b"p"}
    found = taken(submissions)["Ada"]
    assert list(found) == list(IDS)
    assert "Dockerfile, " in told(found["3.1.1"])
    assert "in no exercise's folder" in told(found["3.1.1"])


def test_loose_files_of_canvas(tmp_path: Path) -> None:
    members: Tree = {
        "ada_11_1001_Dockerfile": "four",
        "ada_11_1002_data.zip": WORK,
        "ada_11_1003_app.py": "p",
        "bob_12_1004_3.1.1.zip": zipped({"Dockerfile": "one"}),
        "cyd_13_1005_work.zip": zipped({"3.1.1/Dockerfile": "one"}),
    }
    found = taken(open_submissions(as_zip(tmp_path, members)), ONE)
    assert files(found["ada"]["3.1.4"]) == {"Dockerfile": b"four", "data.zip": WORK, "app.py": b"p"}
    assert found["bob"] == found["cyd"] == {}, "another exercise's files are not taken for this one's"


# ── hostile students ────────────────────────────────────────────────────────────────────


def bomb() -> bytes:
    return zipped({"3.1.1/x": bytes(40 * 2**20)})


def lying_end() -> bytes:
    """A file that ends as a zip with a huge directory does; stored, it stands so near the download's own end."""
    return os.urandom(100) + b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2)


@pytest.mark.parametrize(
    ("handed", "why"),
    [
        ({"work.zip": bomb()}, "more than 4 MiB"),
        ({"work.zip": b"not a zip"}, "work.zip: the archive is damaged"),
        ({"deep.zip": zipped({"work.zip": WORK})}, "work.zip: in no exercise's folder"),
        ({"work.rar": b"Rar!"}, "work.rar: .rar is not read here"),
        ({"work.zip": zipped({"../../x": "evil"})}, "leads out of the archive"),
        ({"../../evil": "x"}, "leads out of the archive"),
        ({"x" * 300: "x"}, "more than 200 bytes"),
        ({"work.zip": zipped({f"x/{n}": "" for n in range(90)})}, "more than 80 files"),
        ({f"{n}.zip": zipped({f"x/{m}": "" for m in range(9)}) for n in range(9)}, "more than 80 files"),
        ({f"{n}.zip": zipped({"x/y": os.urandom(500_000)}) for n in range(5)}, "more than 4 MiB"),
        ({}, ""),
    ],
)
def test_a_bad_submission_is_one_message_and_the_rest_go_on(tmp_path: Path, handed: Tree, why: str) -> None:
    members: Tree = {f"Eve_2_assignsubmission_file_/{name}": content for name, content in handed.items()}
    path = as_zip(tmp_path, {"Ada_1_assignsubmission_file_/w.zip": WORK, **members})
    before = sorted(tmp_path.rglob("*"))
    found = taken(open_submissions(path))
    assert list(found["Ada"]) == ["3.1.1", "3.1.4"]
    if handed:
        assert why in told(found["Eve"]["3.1.1"])
        assert why in told(found["Eve"]["3.1.3"])
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


def test_damaged_locked_and_misleading_members_are_their_students_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_STORED) as archive:
        for name in ("Ada_1", "Eve_2", "Sue_3"):
            archive.writestr(f"{name}_assignsubmission_file_/w.zip", WORK)
        archive.writestr("Mal_4_assignsubmission_file_/w.zip", lying_end())
    packed = bytearray((tmp_path / "d.zip").read_bytes())
    directory = packed.index(b"PK\x01\x02", packed.index(b"Mal_4"))
    at = packed.index(b"PK\x01\x02", directory + 4)  # Eve's entry in the directory
    packed[at + 8] |= 1  # encrypted
    packed[packed.index(b"Sue_3_assignsubmission_file_/w.zip") + 60] ^= 0xFF  # in Sue's content
    (tmp_path / "d.zip").write_bytes(packed)
    found = taken(open_submissions(tmp_path / "d.zip"))
    assert list(found["Ada"]) == ["3.1.1", "3.1.4"]
    assert "without a password" in told(found["Eve"]["3.1.1"])
    assert "damaged" in told(found["Sue"]["3.1.1"])
    assert "damaged" in told(found["Mal"]["3.1.1"])


def test_links_in_an_unpacked_download_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.zip").write_bytes(WORK)
    download = as_folder(tmp_path, {"Ada_1_assignsubmission_file_/w.zip": WORK, "Bob_2_assignsubmission_file_/x": ""})
    (download / "Bob_2_assignsubmission_file_/w.zip").symlink_to("../../secret.zip")
    (download / "Cyd_3_assignsubmission_file_").symlink_to("Ada_1_assignsubmission_file_")
    (download / "Dan_4_assignsubmission_file_w.zip").symlink_to("../secret.zip")
    os.mkfifo(download / "Eli_5_assignsubmission_file_w.zip")
    found = taken(open_submissions(download))
    files(found.pop("Ada")["3.1.1"])
    for handed in found.values():
        assert ": it is " in told(handed["3.1.1"])
    assert list(found) == ["Bob", "Cyd", "Dan", "Eli"]
    link = zipped({"3.1.1/Dockerfile": "/etc/passwd", "3.1.4/Dockerfile": "x"}, link="3.1.1/Dockerfile")
    handed = taken(open_submissions(as_zip(tmp_path, {"Ada_1_assignsubmission_file_/w.zip": link})))["Ada"]
    assert "it is a link" in told(handed["3.1.1"])
    files(handed["3.1.4"])


@PACKS
@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_leads_elsewhere_without_the_students_before_it(tmp_path: Path, pack: Pack, name: str) -> None:
    # Found by tests/fuzz/fuzz_submissions.py.
    members: Tree = {f"ada_11_1001_{name}": "evil", "ada_11_1002_Dockerfile": "four", "ada_11_1003_._x": "apple"}
    found = taken(open_submissions(pack(tmp_path, members)), ONE)["ada"]["3.1.4"]
    assert files(found) == {"Dockerfile": b"four", f"ada_11_1001_{name}": b"evil"}


def test_a_download_that_vanishes_is_everyones_refusal_not_an_error(tmp_path: Path) -> None:
    path = as_zip(tmp_path, {"Ada_1_assignsubmission_file_/w.zip": WORK})
    submissions = open_submissions(path)
    path.unlink()
    assert "cannot be read any more" in told(taken(submissions)["Ada"]["3.1.1"])
