"""`grader export`: scores reach the right row or none, nothing else in a sheet changes, and who is left out is told."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.cli.main import run
from grader.errors import UsageError
from grader.grading.grades import ExerciseGrade, Grade, final_grades, worth_of
from grader.grading.session import Result
from grader.models import ExerciseReport, ExerciseStatus
from grader.reports.export import Exported, Scores, export_formats, only
from grader.reports.gradescope import to_gradescope
from grader.reports.sheet import read_sheet
from grader.sanitize import safe_name
from tests import reports

CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Docker exercises (12345),Essay (777),Final Score
,,,,,Manual Posting,,
    Points Possible,,,,,20,10,(read only)
"King, Ada",101,u1,ada@x.example,A,,8,80.5
"Hopper, Grace",102,u2,grace,B and C,3,,
"Student, Test",103,,,A,,,
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Last modified (grade),Feedback comments
Participant 501,Ada King,ada@x.example,Submitted,,20.00,-,
Participant 502,Grace Hopper,grace@x.example,Submitted,3.00,20.00,"Monday, 2 March 2026, 9:00 AM","<p>so ""far""</p>"
"""


def mark(student: str, score: float | None) -> Grade:
    return Grade(student, score, 20, score or 0, 20, missing="not graded: 3.1.4" if score is None else "")


def fill(text: str, *marks: Grade, column: str = "Docker exercises", **options: Any) -> Exported:
    """The sheet with the marks in it, as its platform's format does it."""
    platform = "moodle" if text.startswith("Identifier") or '"Identifier' in text else "canvas"
    graded = [reports.report_of(one.student) for one in marks]
    given: dict[str, Any] = {"worth": 20, "overwrite": True, **options}
    scores = Scores(
        graded, marks, sheet=read_sheet(text, "Grades.csv"), column=column,
        feedback=lambda _, one: f"<p>{one.score}", **given,
    )  # fmt: skip
    return export_formats()[platform].write(scores)


def text_of(exported: Exported) -> str:
    first = next(iter(exported.files.values()))
    assert isinstance(first, str)
    return first


def rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def changed(before: str, exported: Exported) -> dict[tuple[int, int], str]:
    """The cells that differ, by row and column from 0."""
    return {
        (number, at): new
        for number, (old_row, new_row) in enumerate(zip(rows(before), rows(text_of(exported)), strict=True))
        for at, (old, new) in enumerate(zip(old_row, new_row, strict=True))
        if old != new
    }


def test_one_exercise_can_be_asked_for() -> None:
    whole = [reports.every_status(), reports.report_of("zoe", *reports.every_status().exercises)]
    kept = only(whole, ["3.3.l", "3.1.4"])
    assert [mark.score for mark in final_grades(kept)] == [13, 13]
    assert (worth_of(whole), worth_of(kept), worth_of(only(whole, ["3.3.L"]))) == (60, 10, 10)
    with pytest.raises(UsageError, match=r"no exercise 9\.9\. They have: 3\.1\.1, "):
        only(whole, ["9.9"])


# ── whose row it is ─────────────────────────────────────────────────────────────────────

SPLIT = "LastName,FirstName,ID,SIS Login ID,Section,Docker exercises (1)\nKing,Ada,101,,A,\nPlato,,102,,A,\n"
COMPOSED = CANVAS.replace("King", "Ko\u0308ve\u0301r")
AS_IN_FILES = MOODLE.replace("Ada King", "Ada_K. O'Brien")
TWINS = MOODLE.replace("Grace Hopper", "Ada King")


@pytest.mark.parametrize(
    ("text", "names", "cell"),
    [
        (CANVAS, "King, Ada|Ada King|kingada|kingada (101)|101|u1|ada@x.example|ADA@x.example|  ada   king ", (3, 5)),
        (CANVAS, "Ada|king|kingada (102)|adaking|A|8||Points Possible|Ada Kinge", None),
        (SPLIT, "kingada|King, Ada", (1, 5)),
        (SPLIT, "plato", (2, 5)),
        (COMPOSED, "k\xf6v\xe9rada|Ada K\xf6v\xe9r", (3, 5)),
        (MOODLE, "Ada King|Ada King (501)|Participant (501)|Participant 501|ada@x.example", (1, 4)),
        (AS_IN_FILES, "Ada K. OBrien", (1, 4)),
        (TWINS, "Ada King", None),
        (TWINS, "Ada King (502)", (2, 4)),
    ],
)
def test_a_student_is_known_by_names_that_are_nobody_elses(text: str, names: str, cell: tuple[int, int] | None) -> None:
    for name in names.split("|"):
        filled = fill(text, mark(name, 17.5))
        assert changed(text, filled) == ({cell: "17.5"} if cell else {}), name
        assert (filled.count == 1) == ("the score is not in the file." not in filled.notes[0]) == bool(cell)


def test_a_student_is_found_by_what_the_roster_knows() -> None:
    names = {"first": "Ada", "last": "King"}
    for columns in ({"email": "ada@x.example"}, names, {"id": "u1", "section": "B"}, {"login": "KingAda"}):
        assert changed(CANVAS, fill(CANVAS, mark("ak1", 17.5), people={"ak1": columns})) == {(3, 5): "17.5"}, columns


ADA_KINGE = "is in no row of the sheet (nearest: Row 4 (King, Ada)); the score is not in the file."
TWO_ROWS = "fits 2 rows: Row 2 (Ada King), Row 3 (Ada King); the score is not in the file."
CLAIMED = "Row 2 (Ada King) fits another student too; the score is not in the file."
NOT_GIVEN = "is not given the assignment (N/A) in the sheet; left so."


@pytest.mark.parametrize(
    ("text", "marks", "note"),
    [
        (CANVAS, [mark("ada king", 1)], "Row 5 (Hopper, Grace): is nobody in the results; left as it was."),
        (CANVAS, [mark("Ada Kinge", 1)], f"Ada Kinge: {ADA_KINGE}"),
        (TWINS, [mark("Ada King", 5)], f"Ada King: {TWO_ROWS}"),
        (MOODLE, [mark("Ada King", 5), mark("ada@x.example", 20)], f"ada@x.example: {CLAIMED}"),
        (MOODLE, [mark("Grace Hopper", None)], "Grace Hopper: not graded: 3.1.4; left as it was."),
        (CANVAS.replace("C,3", "C,EX"), [mark("grace", 20)], "grace: is excused (EX) in the sheet; left so."),
        (CANVAS.replace("C,3", "C,n/a"), [mark("grace", 20)], f"grace: {NOT_GIVEN}"),
    ],
)
def test_who_is_left_out_is_told(text: str, marks: Sequence[Grade], note: str) -> None:
    filled = fill(text, *marks)
    assert note in filled.notes
    assert (text_of(filled) == text) == (filled.count == 0)


@pytest.mark.parametrize(("text", "name"), [(CANVAS, "grace"), (MOODLE, "Grace Hopper")])
def test_a_mark_that_somebody_entered_is_replaced_only_on_request_and_never_without_a_word(
    text: str, name: str
) -> None:
    kept = fill(text, mark(name, 17.5), overwrite=False)
    assert (text_of(kept), kept.count) == (text, 0)
    assert kept.notes[-1].startswith(f"{name}: has 3")
    assert kept.notes[-1].endswith("left as it was. With --overwrite it is replaced.")
    replaced = fill(text, mark(name, 17.5))
    assert list(changed(text, replaced).values()) == ["17.5"]
    assert any(note.startswith(f"{name}: 3") and note.endswith("in the sheet becomes 17.5.") for note in replaced.notes)
    assert fill(text, mark(name, 3), overwrite=False).count == 1, "the same mark is no question"


# ── the sheet ───────────────────────────────────────────────────────────────────────────


def test_the_form_of_the_sheet_stays() -> None:
    text = '\ufeffStudent;ID;SIS Login ID;Section;Lab (1)\r\n"King; Ada";101;ada;"a\r""b""\n";2,5\r\n\r\n'
    assert text_of(fill(text, mark("ada", 7.5), column="Lab")) == text.replace("2,5", "7.5")


def test_an_assignment_that_is_not_there_becomes_a_column() -> None:
    filled = text_of(fill(CANVAS, mark("kingada", 17.5), mark("hoppergrace", None), column="Docker, part 1"))
    assert [row[:-1] for row in rows(filled)] == rows(CANVAS)
    assert [row[-1] for row in rows(filled)] == ["Docker, part 1", "", "20", "17.5", "", ""]


def test_an_assignment_is_known_by_its_name_with_and_without_the_number() -> None:
    text = "Student,ID,Section,Lab,Lab (1),Lab (2),Essay (3)\nada,1,A,,,,\n"
    for column, at in (("Lab", 3), ("Lab (1)", 4), ("Lab (2)", 5), ("essay", 6)):
        assert changed(text, fill(text, mark("ada", 5), column=column)) == {(1, at): "5"}


def test_points_that_the_platform_counts_otherwise_are_told() -> None:
    assert not any("full score" in note for note in fill(CANVAS, mark("grace", 1)).notes)
    comma = CANVAS.replace(",", ";").replace(";;20;", ";;20,5;")
    assert not any("full score" in note for note in fill(comma, worth=20.5).notes)
    assert fill(CANVAS, worth=170).notes[-1].startswith("Canvas counts 20 points for a full score, the results 170")
    notes = fill(MOODLE, mark("Ada King", 20.01), mark("Grace Hopper", 20), worth=25).notes
    assert notes[1].startswith("Moodle counts 20.00 points")
    assert notes[2] == "Row 2 (Ada King): 20.01 points are more than Moodle takes; it will pass over them."


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a,b\n1,2\n", "Docker", "no gradebook of Canvas"),
        (CANVAS.replace("Section", "Group", 1), "Docker", "has Section"),
        (CANVAS, "", "say by --column .* It has: Docker exercises \\(12345\\), Essay \\(777\\)\\."),
        *((CANVAS, name, "neither be filled nor added") for name in ("Final Score", "Section", "Lab (12346)", "=1+1")),
        (CANVAS.replace(",10,(read", ",(read only),(read"), "Essay", "neither be filled nor added"),
        (CANVAS.replace("Essay", "Docker exercises"), "Docker exercises", "2 columns are called"),
        (CANVAS.replace("A,,8,80.5", "A,,8,80.5,9"), "Essay", "row 4 has more cells"),
        ("", "Essay", "no header"),
        ('Student,ID,Section\n"King', "Essay", "no CSV file"),
        *((MOODLE.replace(name, "Other", 1), "", "has no column .*English") for name in ("Grade", "Last modified")),
        (MOODLE.replace("Status", "Grade", 1), "", "the column Grade more than once"),
    ],
)
def test_a_sheet_that_cannot_be_filled(text: str, column: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"Grades.csv: .*{message}"):
        fill(text, mark("kingada", 1), column=column)


CELL = st.one_of(st.sampled_from([*reports.HOSTILE, "", "EX"]), st.text(max_size=8)).filter(
    lambda cell: "\ud800" not in cell
)
SCORE = st.one_of(st.none(), st.floats(0, 1000, allow_nan=False))
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CANVAS_HEADER = ("Student", "ID", "SIS Login ID", "Section", "Lab (1)", "Other (2)")
MOODLE_HEADER = ("Identifier", "Full name", "Email address", "Last modified (grade)", "Grade", "Extra")
GENERAL = ("is nobody in", "for a full score", "pass over them", " in the sheet becomes ")


@pytest.mark.parametrize(("header", "column"), [(CANVAS_HEADER, "Lab"), (CANVAS_HEADER, "New"), (MOODLE_HEADER, "")])
@given(data=st.data(), delimiter=st.sampled_from(",;\t"), newline=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=40)
def test_only_scores_are_written_and_everyone_is_told_or_in_the_sheet_once(
    header: tuple[str, ...], column: str, data: st.DataObject, delimiter: str, newline: str
) -> None:
    row = st.lists(CELL, min_size=6, max_size=6)
    table = [list(header), *data.draw(st.lists(row, max_size=5))]
    known = [cell for line in table[1:] for cell in line[:3]]
    name = st.one_of(st.sampled_from(known), CELL) if known else CELL
    scores = data.draw(st.dictionaries(name, SCORE, max_size=6))
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows(table)
    filled = fill(out.getvalue(), *(mark(student, score) for student, score in scores.items()), column=column)
    after = rows(text_of(filled), delimiter)
    at = 6 if column == "New" else 4
    assert [line[:at] + line[at + 1 :] for line in after] == [line[:at] + line[at + 1 :] for line in table]
    pairs = zip(table, after, strict=True)
    written = [new[at] for old, new in pairs if new[at] != (old[at] if at == 4 else "")]
    assert not any(cell.lstrip().startswith(FORMULA) for cell in written)
    assert len(scores) == filled.count + sum(not any(text in note for text in GENERAL) for note in filled.notes)


# ── what goes along ─────────────────────────────────────────────────────────────────────

LATE = Grade(
    "Ada King", 17.5, 20, 20, 20, (ExerciseGrade("3.1.4", 7.5, 10, reasons=("late by 1 day: <b>",)),),
    comment="well done",
)  # fmt: skip


def test_moodle_gets_comments_and_a_feedback_page_for_each_student_as_its_importers_read_them() -> None:
    """As mod/assign/feedback/file/importziplib.php does: participant and file name from the parts of a path."""
    filled = fill(MOODLE, LATE, mark("Grace Hopper", 3))
    assert changed(MOODLE, filled) == {
        (1, 4): "17.5", (1, 7): "3.1.4: late by 1 day: &lt;b&gt;; well done", (2, 4): "3",
    }  # fmt: skip
    packed = filled.files["moodle-feedback.zip"]
    assert isinstance(packed, bytes)
    found = {}
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            first, *others = name.split("/")
            info = first.split("_", 4)
            assert info[2:4] == ["assignfeedback", "file"]
            found[int(info[1]), "/".join(filter(None, [*info[4:], *others]))] = archive.read(name)
    assert found == {(501, "feedback.html"): b"<p>17.5", (502, "feedback.html"): b"<p>3"}


@pytest.mark.parametrize(
    ("names", "header"),
    [
        ("ada@x.example b@x.example", "Email address"),
        ("0042 43", "ID number"),
        ("ada", ""),
        ("ada@x.example bob", ""),
        ("ada@x.example 42", ""),
        ("=1@x.example", ""),
        ("", ""),
    ],
)
def test_moodle_s_gradebook_import_needs_no_sheet_where_names_are_what_it_knows(names: str, header: str) -> None:
    marks = [mark(name, None if index else 7.5) for index, name in enumerate(names.split())]
    if not header:
        with pytest.raises(UsageError, match="grading worksheet"):
            export_formats()["moodle"].write(Scores([], marks))
        return
    filled = export_formats()["moodle"].write(Scores([], marks))
    assert (text_of(filled), filled.count) == (f"{header},Grade\n{marks[0].student},7.5\n", 1)
    assert filled.notes == (f"{marks[1].student}: not graded: 3.1.4; left out.",)


def test_nbgrader_s_columns_have_what_lateness_took() -> None:
    report = reports.report_of("Ada King", ExerciseReport("3.1.4", "A title", ExerciseStatus.FAILED, 10.0, 10.0))
    people = {"Ada King": {"first": "Ada", "last": "King", "email": "ada@x"}}
    late = replace(LATE, late="late by 1 day", submitted="2026-03-02T09:00:00+00:00")
    written = text_of(export_formats()["nbgrader"].write(Scores([report], [late], people=people)))
    (line,) = csv.DictReader(io.StringIO(written))
    assert line == {
        "assignment": "3.1.4", "duedate": "", "timestamp": "2026-03-02T09:00:00+00:00", "student_id": "Ada King",
        "last_name": "King", "first_name": "Ada", "email": "ada@x", "raw_score": "10",
        "late_submission_penalty": "2.5", "score": "7.5", "max_score": "10",
    }  # fmt: skip


def test_gradescope_gets_a_test_for_each_check() -> None:
    graded = (reports.failed_exercise(), reports.rejected_exercise(), reports.missing_exercise())
    document = json.loads(to_gradescope(reports.report_of("amira", *graded)))
    assert document["score"] == 3
    assert [(test["number"], test["status"], test["score"], test["max_score"]) for test in document["tests"]] == [
        ("3.1.4", "passed", 2, 2),
        ("3.1.4", "failed", 0, 4),
        ("3.1.4", "failed", 0, 3),
        ("3.1.4", "passed", 1, 1),
        ("3.1.5", "failed", 0, 10),
        ("3.2.1", "failed", 0, 10),
    ]
    assert document["tests"][1]["output"].startswith("The container did not start.")
    assert "\nExpected: the script runs" in document["tests"][1]["output"]
    assert "not an allowed base image" in document["tests"][4]["output"]
    assert {value for key, value in document.items() if key.endswith("_format")} == {"text"}


@given(reports.hostile_text())
def test_whatever_students_write_gradescope_gets_inert_text(text: str) -> None:
    written = to_gradescope(reports.filled_with(text))
    assert json.loads(written)["score"] == 0
    assert not set(written.encode()) & {*range(10), *range(11, 32), 127}


# ── the command ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ada has 13 points, Grace could not be graded in one exercise. The sheets are beside them."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("canvas-sheet", CANVAS), ("sheet.csv", CANVAS), ("moodle-sheet", MOODLE)):
        Path(name).write_text(text, encoding="utf-8")
    Path("latin-1").write_bytes(CANVAS.replace("King", "Kövér").encode("latin-1"))
    Path("results").mkdir()
    broken = replace(reports.ungraded_exercise(), id="3.1.4")
    graded = {"Ada King": reports.failed_exercise(), "Grace Hopper": broken}
    with Journal.open(tmp_path / "results", create=True) as journal:
        journal.begin(BatchInfo(1, "digest", "Course", "2026-01-01T00:00:00+00:00", reports.ENGINE), tuple(graded))
        for student, second in graded.items():
            for one in (reports.passed_exercise(), second):
                journal.record(Graded(student, Result(one, "digest", {}, None)))
    return tmp_path / "results"


def files_in(folder: Path) -> set[str]:
    """Those beside the journal."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.lstrip(".").startswith("journal.")}


@pytest.mark.parametrize(
    ("words", "file", "holds"),
    [
        ("csv", "gradebook.csv", '"Ada King",10,3,13,20,""'),
        ("junit", "junit.xml", "Ada King/3.1.4"),
        ("canvas --sheet canvas-sheet --column Essay --overwrite", "canvas.csv", ",u1,ada@x.example,A,,13,80.5"),
        ("moodle --sheet moodle-sheet", "moodle.csv", "Participant 501,Ada King,ada@x.example,Submitted,13,20.00,-,"),
        ("gradescope", f"gradescope/{safe_name('Ada King')}.json", '"score": 13'),
    ],
)
def test_one_file_is_written_and_who_has_no_score_is_told(
    results: Path, capsys: pytest.CaptureFixture[str], words: str, file: str, holds: str
) -> None:
    command = ["export", str(results), "--to", *words.split()]
    assert run(command) == 3
    message = capsys.readouterr()
    assert files_in(results) - {"moodle-feedback.zip"} == {file}
    assert holds in (results / file).read_text(encoding="utf-8")
    assert message.out == ""
    assert "Grace Hopper: not graded: 3.1.4; " in message.err
    assert f"Written: {results}" in message.err
    assert "1 of 2 students" in message.err
    assert run([*command, "--exercise", "3.1.1"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("canvas", "Export Entire Gradebook"),
        ("moodle", "grading worksheet"),
        ("moodle --sheet canvas-sheet", "has no column Identifier"),
        ("canvas --sheet canvas-sheet", "--column"),
        ("canvas --sheet latin-1 --column Lab", "not UTF-8"),
        ("canvas --sheet nothing --column Lab", "cannot be read"),
        ("canvas --sheet canvas-sheet --column Essay --out canvas-sheet", "ends in .csv"),
        ("canvas --sheet sheet.csv --column Essay --out sheet.csv", "the sheet itself"),
        ("csv --out results/journal.sqlite", "ends in .csv"),
        ("csv --sheet canvas-sheet", "--sheet is for Canvas and Moodle"),
        ("moodle --sheet moodle-sheet --column Essay", "--column is for Canvas"),
        ("junit --exercise 9.9", "no exercise 9.9"),
    ],
)
def test_what_cannot_be_done_writes_nothing(
    results: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    before = {path: path.read_bytes() for path in results.parent.glob("*") if path.is_file()}
    assert run(["export", str(results), "--to", *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert files_in(results) == set()
    assert {path: path.read_bytes() for path in results.parent.glob("*") if path.is_file()} == before


def test_out_is_a_file_or_a_folder(results: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for out in ("there", "marks.csv"):
        assert run(["export", str(results), "--to", "csv", "--exercise", "3.1.1", "--out", str(tmp_path / out)]) == 0
    assert (tmp_path / "there/gradebook.csv").read_bytes() == (tmp_path / "marks.csv").read_bytes()
    assert files_in(results) == set()


def test_gradescope_s_students_are_told_no_more_than_is_said(results: Path) -> None:
    assert run(["export", str(results), "--to", "gradescope", "--details", "none"]) == 3
    (file,) = (results / "gradescope").iterdir()
    assert "ENTRYPOINT" not in file.read_text(encoding="utf-8")
