"""Bulk downloads of platforms: whose each file is, what of it is graded, and that no student harms another."""

from __future__ import annotations

import os
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grader.course.models import Limits
from grader.errors import UsageError
from grader.submissions.lms import Submissions, open_submissions
from grader.submissions.models import ExerciseFiles
from grader.submissions.reader import Selection
from tests.archives import Tree, tar_gz, zipped

LIMITS = Limits(context_files=20, context_mb=1)
IDS = ("3.1.1", "3.1.3", "3.1.4")
ALL = Selection(IDS, IDS, LIMITS)
ONE = Selection(("3.1.4",), IDS, LIMITS)


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


def taken(submissions: Submissions, selection: Selection = ALL) -> dict[str, dict[str, str]]:
    """By student and exercise: the files as `path=content`, or after a `!` why they are refused."""
    return {
        one.student: {
            item.exercise: " ".join(f"{file.path}={file.content.decode(errors='replace')}" for file in item.files)
            if isinstance(item, ExerciseFiles)
            else "!" + "\n".join(refusal.message for refusal in item.refusals)
            for item in submissions.read(one, selection).exercises
        }
        for one in submissions.handins
    }


def agree(found: Mapping[str, Mapping[str, str]], expected: Mapping[str, Mapping[str, str]]) -> None:
    """What was taken is as expected; of a refusal, a part of the message stands there."""
    assert {name: list(one) for name, one in found.items()} == {name: list(one) for name, one in expected.items()}
    for name, exercises in expected.items():
        for exercise, text in exercises.items():
            actual = found[name][exercise]
            assert text[1:] in actual if text[:1] == "!" == actual[:1] else text == actual, (name, exercise, actual)


def packed(name: str, text: str) -> bytes:
    return zipped({name: text})


BOTH: Tree = {"3.1.1/Dockerfile": "one", "3.1.4/Dockerfile": "four"}
WORK = zipped(BOTH)
TAKEN = {"3.1.1": "Dockerfile=one", "3.1.4": "Dockerfile=four"}
ADA, BOB = "Ada_1_assignsubmission_file_", "Bob_2_assignsubmission_file_"


def refused(text: str) -> dict[str, str]:
    return dict.fromkeys(IDS, f"!{text}")


OLD, NEW = (zipped({"3.1.1/Dockerfile": text, "3.1.3/x": text}) for text in ("old", "new"))
LOOSE: Tree = {"Dockerfile": "four", "app.py": "p"}
FOUR = "Dockerfile=four app.py=p"

CASES: dict[str, tuple[Tree, Selection, dict[str, dict[str, str]]]] = {
    "archive": ({f"{ADA}/w.zip": WORK, f"{BOB}/3.1.3/x": "3"}, ALL, {"Ada": TAKEN, "Bob": {"3.1.3": "x=3"}}),
    "archive without a folder": ({f"{ADA}w.zip": WORK}, ALL, {"Ada": TAKEN}),
    "folder without a dash": ({f"{ADA[:-1]}/w.zip": WORK}, ALL, {"Ada": TAKEN}),
    "folder around": ({f"{ADA}w.zip": zipped({f"my/{name}": it for name, it in BOTH.items()})}, ALL, {"Ada": TAKEN}),
    "tar": ({f"{ADA}/w.tgz": tar_gz(BOTH)}, ALL, {"Ada": TAKEN}),
    "folders": ({f"{ADA}/{name}": it for name, it in BOTH.items()}, ALL, {"Ada": TAKEN}),
    "an archive each": (
        {f"{ADA}3.1.1.zip": packed("Dockerfile", "one"), f"{ADA}3.1.4.zip": packed("3.1.4/Dockerfile", "four")},
        ALL,
        {"Ada": TAKEN},
    ),
    "file and text beside": (
        {f"{ADA}w.zip": WORK, f"{ADA}README": "", "Ada_1_assignsubmission_onlinetext_onlinetext.html": "<p>"},
        ALL,
        {"Ada": TAKEN},
    ),
    "namesakes": (
        {f"{name}_assignsubmission_file_/w.zip": WORK for name in ("Ada_1", "Ada_2", "Ada (2)_3", "Bob_4")},
        ALL,
        dict.fromkeys(["Ada (1)", "Ada (2)", "Ada (2) (3)", "Bob"], TAKEN),
    ),
    "blind marking": (
        {f"Participant_{number}_assignsubmission_file_/w.zip": WORK for number in (7, 8)},
        ALL,
        dict.fromkeys(["Participant (7)", "Participant (8)"], TAKEN),
    ),
    "another's name": ({"Eve_6_assignsubmission_file_Ada_1_assignsubmission_file_w.zip": WORK}, ALL, {"Eve": TAKEN}),
    "Canvas": (
        {
            "kingada_12345_678910_work.zip": WORK,
            "kingada_12345_678911_notes.txt": "hello",
            "li_anna_LATE_12346_678912_my_1_2_work.zip": packed("3.1.3/x", "late"),
            "notyet_12347_text.html": "<p>I could not</p>",
        },
        ALL,
        {"kingada": TAKEN, "li_anna": {"3.1.3": "x=late"}, "notyet": refused("notyet: only a text or an address")},
    ),
    "another's name on Canvas": (
        {"eve_66_7777_ada_11_8888_work.zip": WORK, "ada_11_9999_work.zip": WORK},
        ALL,
        {"ada": TAKEN, "eve": TAKEN},
    ),
    "loose files of Canvas": (
        {
            "ada_11_1001_Dockerfile": "four",
            "ada_11_1003_app.py": "p",
            "ada_11_1004_._x": "apple",
            "bob_12_1004_3.1.1.zip": packed("Dockerfile", "one"),
            "cyd_13_1005_work.zip": packed("3.1.1/Dockerfile", "one"),
        },
        ONE,
        {"ada": {"3.1.4": FOUR}, "bob": {}, "cyd": {}},
    ),
    "a name that leads elsewhere": (  # found by tests/fuzz/fuzz_submissions.py
        {"ada_11_1001_..": "evil", "ada_11_1002_Dockerfile": "four"},
        ONE,
        {"ada": {"3.1.4": "Dockerfile=four ada_11_1001_..=evil"}},
    ),
    "attempts": (  # an exercise comes from the newest that has it
        {f"{ADA}/w-10.zip": packed("3.1.1/x", "last"), f"{ADA}/w.zip": OLD, f"{ADA}/w-2.zip": NEW},
        ALL,
        {"Ada": {"3.1.1": "x=last", "3.1.3": "x=new"}},
    ),
    "attempts by Canvas's numbers": (
        {"ada_11_2002_w.zip": NEW, "ada_11_2001_w-1.zip": OLD, "bob_12_2002_w.zip": NEW, "bob_12_10001_w.zip": OLD},
        Selection(("3.1.3",), IDS, LIMITS),
        {"ada": {"3.1.3": "x=new"}, "bob": {"3.1.3": "x=old"}},
    ),
    "the newest attempt is damaged": (
        {f"{ADA}/w.zip": WORK, f"{ADA}/w-1.zip": b"PK"}, ALL, {"Ada": refused("w-1.zip: ")},
    ),
    "an older attempt is damaged": (
        {f"{ADA}/w.zip": b"PK", f"{ADA}/w-1.zip": WORK}, ONE, {"Ada": {"3.1.4": "Dockerfile=four"}},
    ),
    "twice the same": ({f"{ADA}/a.zip": WORK, f"{ADA}/b.zip": WORK}, ALL, {"Ada": TAKEN}),
    "twice": (
        {f"{ADA}/a.zip": WORK, f"{ADA}/b.zip": packed("3.1.1/Dockerfile", "other")},
        ALL,
        {"Ada": {**TAKEN, "3.1.1": "!Ada: it was handed in more than once: in a.zip and b.zip. Keep one."}},
    ),
    "loose files, one asked for": ({f"{ADA}/{name}": it for name, it in LOOSE.items()}, ONE, {"Ada": {"3.1.4": FOUR}}),
    "loose files in an archive": ({f"{ADA}/w.zip": zipped(LOOSE)}, ONE, {"Ada": {"3.1.4": FOUR}}),
    "loose files": ({f"{ADA}/{name}": "" for name in LOOSE}, ALL, {"Ada": refused("in no exercise's folder")}),
}  # fmt: skip


@PACKS
@pytest.mark.parametrize("case", CASES)
def test_what_is_taken(tmp_path: Path, pack: Pack, case: str) -> None:
    members, selection, expected = CASES[case]
    agree(taken(open_submissions(pack(tmp_path, members)), selection), expected)


def test_names_are_shown_composed_and_inert_and_notes_say_what_was_understood(tmp_path: Path) -> None:
    members: Tree = {"Zoe\u0308 \x1b[2J\u202e_1_assignsubmission_file_/w.zip": WORK}
    assert list(taken(open_submissions(as_zip(tmp_path, members)))) == ["Zoë \\x1b[2J\\u202e"]
    by_mail: Tree = {f"{ADA}/w.zip": WORK, "bob.zip": WORK, "cyd/3.1.3/x": "", "a": ""}
    submissions = open_submissions(as_folder(tmp_path, by_mail))
    assert list(taken(submissions)) == ["Ada", "bob", "cyd"]
    assert submissions.notes == ("Read as a bulk download of Moodle: 1 student.", "Nobody's, left out: a.")
    assert "Late, says Canvas: li_anna." in open_submissions(as_zip(tmp_path, CASES["Canvas"][0])).notes


def test_a_strange_name_spoils_nothing(tmp_path: Path) -> None:
    # eve_11 is the name of the third, and the fourth's file has a slash in its own
    names = ["ada_11_1001_w.zip", "bob_12_1002_w.zip", "eve_11_133_1003_w.zip", "mal_14_1004_a/w.zip"]
    found = taken(open_submissions(as_zip(tmp_path, dict.fromkeys(names, WORK))))
    assert found == dict.fromkeys(["ada", "bob", "eve", "mal"], TAKEN)


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
    four = {"3.1.4": "Dockerfile=four"}
    expected = {"Ada King": four, "Bob (bob2@x.example)": TAKEN, "Bob (bob@x.example)": four}
    agree(taken(submissions), expected)
    own: Tree = {f"{ADA}/submission_metadata.yml": METADATA, f"{ADA}/3.1.4/Dockerfile": "four"}
    (tmp_path / "own").mkdir()
    assert list(taken(open_submissions(pack(tmp_path / "own", own)))) == ["Ada"], "a student's own file says nothing"


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
    assert taken(submissions)["ada"] == {"3.1.1": "Dockerfile=FROM x"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "names",
    [
        ["alice/", "bob/"],
        ["alice_12345_678910_work/", "bob_12346_678911_work/"],
        ["alice.zip", "kingada_12345_678910_work.zip"],
        ["alice/", "kingada_12345_678910_work.zip"],
        ["lab_2024_11_alice.zip", "lab_2024_11_bob.zip"],
        ["lab_2024_101_alice.zip", "lab_2024_102_bob.zip"],
        ["lab1_2024_101_alice.zip", "lab2_2024_102_bob.zip"],
        ["lab_1_100_ada.zip", "lab_2_100_bob.zip", "lab_3_100_cyd.zip"],
        ["a_2024_0101_alice.zip", "b_2024_0102_alice.zip"],
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
    ],
)
def test_what_is_neither_is_refused_with_what_was_looked_for(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=name) as raised:
        open_submissions(tmp_path / name)
    assert why in str(raised.value)


TREES = st.dictionaries(
    st.sampled_from(
        ["Dockerfile", "a", "3.1.1/a", "3.1.4/Dockerfile", "w/3.1.4/b", "w.zip", "w-1.zip", "3.1.1.zip", ".."]
    ),
    st.sampled_from([b"x", WORK, packed("w/3.1.4/Dockerfile", "x"), packed("Dockerfile", "bare"), b"PK"]),
    max_size=4,
)


@given(TREES, TREES, st.sampled_from([ALL, ONE]))
@example({}, {"Dockerfile": b"x", "..": b"x"}, ALL)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_download_is_the_same_packed_and_unpacked(tmp_path: Path, ada: Tree, bob: Tree, selection: Selection) -> None:
    members: Tree = {f"{ADA}/{name}": it for name, it in ada.items() if name != ".."}
    members |= {f"{BOB}{name}": it for name, it in bob.items()}
    with tempfile.TemporaryDirectory(dir=tmp_path) as made:
        unpacked = as_folder(Path(made), {"Cyd_3_assignsubmission_file_/x": "", **members})
        download = as_zip(Path(made), {"Cyd_3_assignsubmission_file_/x": "", **members})
        assert taken(open_submissions(download), selection) == taken(open_submissions(unpacked), selection)


# ── hostile students ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("handed", "why"),
    [
        ({"work.zip": zipped({"3.1.1/x": bytes(40 * 2**20)})}, "more than 4 MiB"),
        ({"work.zip": b"not a zip"}, "work.zip: the archive is damaged"),
        ({"deep.zip": zipped({"work.zip": WORK})}, "work.zip: in no exercise's folder"),
        ({"work.rar": b"Rar!"}, "work.rar: .rar is not read here"),
        ({"work.zip": zipped({"../../x": "evil"})}, "leads out of the archive"),
        ({"../../evil": "x"}, "leads out of the archive"),
        ({"x" * 300: "x"}, "more than 200 bytes"),
        ({"work.zip": zipped({f"x/{n}": "" for n in range(90)})}, "more than 80 files"),
        ({f"{n}.zip": zipped({f"x/{m}": "" for m in range(9)}) for n in range(9)}, "more than 80 files"),
        ({f"{n}.zip": zipped({"x/y": os.urandom(500_000)}) for n in range(5)}, "more than 4 MiB"),
        ({"w.zip": zipped({"3.1.1/Dockerfile": "/etc/passwd"}, link="3.1.1/Dockerfile")}, "it is a link"),
    ],
)
def test_a_bad_submission_is_one_message_and_the_rest_go_on(tmp_path: Path, handed: Tree, why: str) -> None:
    path = as_zip(tmp_path, {f"{ADA}/w.zip": WORK, **{f"{BOB}/{name}": it for name, it in handed.items()}})
    submissions = open_submissions(path)
    found = taken(submissions)
    assert found["Ada"] == TAKEN
    assert why in found["Bob"]["3.1.1"]
    assert list(tmp_path.iterdir()) == [path], "nothing is written"
    path.unlink()
    assert "cannot be read any more" in taken(submissions)["Ada"]["3.1.1"]


def test_damaged_locked_and_misleading_members_are_their_students_alone(tmp_path: Path) -> None:
    # Ends as a zip with a huge directory does; stored, it stands so near the download's own end.
    lying_end = b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2)
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_STORED) as archive:
        for name in ("Ada_1", "Eve_2", "Sue_3"):
            archive.writestr(f"{name}_assignsubmission_file_/w.zip", WORK)
        archive.writestr("Mal_4_assignsubmission_file_/w.zip", os.urandom(100) + lying_end)
    data = bytearray((tmp_path / "d.zip").read_bytes())
    directory = data.index(b"PK\x01\x02", data.index(b"Mal_4"))
    data[data.index(b"PK\x01\x02", directory + 4) + 8] |= 1  # Eve's entry in the directory: encrypted
    data[data.index(b"Sue_3_assignsubmission_file_/w.zip") + 60] ^= 0xFF  # in Sue's content
    (tmp_path / "d.zip").write_bytes(data)
    found = taken(open_submissions(tmp_path / "d.zip"))
    assert found["Ada"] == TAKEN
    for name, why in (("Eve", "without a password"), ("Sue", "damaged"), ("Mal", "damaged")):
        assert why in found[name]["3.1.1"]


def test_links_in_an_unpacked_download_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.zip").write_bytes(WORK)
    download = as_folder(tmp_path, {f"{ADA}/w.zip": WORK, f"{BOB}/x": ""})
    (download / BOB / "w.zip").symlink_to("../../secret.zip")
    (download / "Cyd_3_assignsubmission_file_").symlink_to(ADA)
    (download / "Dan_4_assignsubmission_file_w.zip").symlink_to("../secret.zip")
    os.mkfifo(download / "Eli_5_assignsubmission_file_w.zip")
    found = taken(open_submissions(download))
    assert found.pop("Ada") == TAKEN
    assert list(found) == ["Bob", "Cyd", "Dan", "Eli"]
    assert all(": it is " in handed["3.1.1"] for handed in found.values())
