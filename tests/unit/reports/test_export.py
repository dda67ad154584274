"""`grader export`: scores reach the right row or none, nothing else in a sheet changes, who is left out is message."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.cli.main import run
from grader.errors import UsageError
from grader.grading.grades import ExerciseGrade, Grade, final_grades, worth_of
from grader.grading.session import Result
from grader.models import ExerciseReport, ExerciseStatus, Report
from grader.reports.canvas import to_canvas
from grader.reports.csv import to_nbgrader
from grader.reports.export import Exported, Scores, only
from grader.reports.gradescope import to_gradescope
from grader.reports.moodle import moodle_import, to_moodle
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


def exercise(name: str, score: float | None, *, bonus: bool = False) -> ExerciseReport:
    status = ExerciseStatus.NOT_GRADED if score is None else ExerciseStatus.FAILED
    return ExerciseReport(name, "A title", status, score, 10.0, bonus=bonus)


def rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def mark(student: str, score: float | None, missing: str = "") -> Grade:
    return Grade(student, score, 20, score or 0, 20, missing=missing)


def canvas(
    text: str, *marks: Grade, column: str = "Docker exercises", worth: float = 20, over: bool = True
) -> Exported:
    sheet = read_sheet(text, "Grades.csv")
    return to_canvas(Scores([], marks, worth, sheet=sheet, column=column, overwrite=over))


def moodle(text: str, *marks: Grade, worth: float = 20, over: bool = True) -> Exported:
    graded = [reports.report_of(one.student) for one in marks]
    sheet = read_sheet(text, "Grades.csv")
    return to_moodle(
        Scores(graded, marks, worth, sheet=sheet, overwrite=over, feedback=lambda _, one: f"<p>{one.score}")
    )


def changed(before: str, after: str) -> dict[tuple[int, int], str]:
    """The cells that differ, by row and column from 0."""
    pairs = zip(rows(before), rows(after), strict=True)
    return {
        (number, at): new
        for number, (old_row, new_row) in enumerate(pairs)
        for at, (old, new) in enumerate(zip(old_row, new_row, strict=True))
        if old != new
    }


# ── scores ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("graded", "expected"),
    [
        ([exercise("1", 7.5), exercise("2", 2)], mark("x", 9.5)),
        ([exercise("1", 0), exercise("2", 0)], mark("x", 0)),
        ([exercise("1", 10), exercise("2", 10), exercise("b", 10, bonus=True)], mark("x", 30)),
        ([exercise("1", 7.5), exercise("2", None)], mark("x", None, "not graded: 2")),
        ([exercise("1", 7.5)], mark("x", None, "not graded: 2")),
        ([], mark("x", None, "not graded: 1, 2")),
    ],
)
def test_who_was_not_graded_whole_has_no_score(graded: Sequence[ExerciseReport], expected: Grade) -> None:
    other = reports.report_of("other", exercise("1", 1), exercise("2", 1))
    marks = final_grades(only([other, reports.report_of("x", *graded)], ()))
    if any(one.bonus for one in graded):
        assert marks[0].score is None
    assert (marks[1].score, marks[1].missing) == (expected.score, expected.missing)


def test_one_exercise_can_be_asked_for() -> None:
    whole = [reports.every_status(), reports.report_of("zoe", *reports.every_status().exercises)]
    kept = only(whole, ["3.3.l", "3.1.4"])
    assert [mark.score for mark in final_grades(kept)] == [13, 13]
    assert (worth_of(whole), worth_of(kept), worth_of(only(whole, ["3.3.L"]))) == (60, 10, 10)
    with pytest.raises(UsageError, match=r"no exercise 9\.9\. They have: 3\.1\.1, "):
        only(whole, ["9.9"])


# ── Canvas ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "King, Ada",
        "Ada King",
        "kingada",
        "kingada (101)",
        "101",
        "u1",
        "ada@x.example",
        "ADA@x.example",
        "  ada   king ",
    ],
)
def test_a_student_of_canvas_is_known_by_any_of_its_names(name: str) -> None:
    filled = canvas(CANVAS, mark(name, 17.5))
    assert changed(CANVAS, filled.text) == {(3, 5): "17.5"}
    assert filled.count == 1
    assert filled.notes == (
        "Row 5 (Hopper, Grace): is nobody in the results; left as it was.",
        "Row 6 (Student, Test): is nobody in the results; left as it was.",
    )


@pytest.mark.parametrize("name", ["Ada", "king", "kingada (102)", "adaking", "A", "8", "", "Points Possible"])
def test_a_name_that_only_resembles_is_nobody_s(name: str) -> None:
    filled = canvas(CANVAS, mark(name, 17.5))
    assert filled.text == CANVAS
    assert re.sub(r" \(nearest: Row \d .*?\)\)", "", filled.notes[0]) == (
        f"{name}: is in no row of the sheet; the score is not in the file."
    )


def test_who_is_in_no_row_is_told_with_the_nearest() -> None:
    notes = canvas(CANVAS, mark("Ada Kinge", 17.5)).notes
    assert (
        notes[0] == "Ada Kinge: is in no row of the sheet (nearest: Row 4 (King, Ada)); the score is not in the file."
    )


@pytest.mark.parametrize(
    "columns",
    [{"email": "ada@x.example"}, {"first": "Ada", "last": "King"}, {"id": "u1", "section": "B"}, {"login": "KingAda"}],
)
def test_a_student_is_found_by_what_the_roster_knows(columns: dict[str, str]) -> None:
    sheet = read_sheet(CANVAS, "s")
    scores = Scores([], [mark("ak1", 17.5)], 20, people={"ak1": columns}, sheet=sheet, column="Docker exercises")
    assert changed(CANVAS, to_canvas(scores).text) == {(3, 5): "17.5"}


def test_first_and_last_names_in_columns_of_their_own() -> None:
    text = "LastName,FirstName,ID,SIS Login ID,Section,Lab (1)\nKing,Ada,101,,A,\nPlato,,102,,A,\n"
    filled = canvas(text, mark("kingada", 1), mark("plato", 2), column="Lab")
    assert changed(text, filled.text) == {(1, 5): "1", (2, 5): "2"}


def test_the_form_of_the_sheet_stays() -> None:
    text = '\ufeffStudent;ID;SIS Login ID;Section;Lab (1)\r\n"King; Ada";101;ada;"a\r""b""\n";2,5\r\n\r\n'
    assert canvas(text, mark("ada", 7.5), column="Lab").text == text.replace("2,5", "7.5")


def test_an_assignment_that_is_not_there_becomes_a_column() -> None:
    filled = canvas(
        CANVAS, mark("kingada", 17.5), mark("hoppergrace", None, "not graded: 3.1.4"), column="Docker, part 1"
    )
    assert [row[:-1] for row in rows(filled.text)] == rows(CANVAS)
    assert [row[-1] for row in rows(filled.text)] == ["Docker, part 1", "", "20", "17.5", "", ""]


@pytest.mark.parametrize(("column", "at"), [("Lab", 3), ("Lab (1)", 4), ("Lab (2)", 5), ("essay", 6)])
def test_an_assignment_is_known_by_its_name_with_and_without_the_number(column: str, at: int) -> None:
    text = "Student,ID,Section,Lab,Lab (1),Lab (2),Essay (3)\nada,1,A,,,,\n"
    assert changed(text, canvas(text, mark("ada", 5), column=column).text) == {(1, at): "5"}


def test_a_name_may_be_composed_otherwise() -> None:
    text = CANVAS.replace("King", "Ko\u0308ve\u0301r")
    assert changed(text, canvas(text, mark("k\xf6v\xe9rada", 1), mark("Ada K\xf6v\xe9r", 1)).text) == {}
    assert changed(text, canvas(text, mark("Ada K\xf6v\xe9r", 1)).text) == {(3, 5): "1"}
    assert changed(text, canvas(text, mark("k\xf6v\xe9rada", 1)).text) == {(3, 5): "1"}


@pytest.mark.parametrize("before", ["EX", "ex", "N/A"])
def test_who_is_excused_stays_excused(before: str) -> None:
    text = CANVAS.replace("B and C,3", f"B and C,{before}")
    filled = canvas(text, mark("grace", 20))
    assert filled.text == text
    assert any(note.startswith("grace: is ") and "left so" in note for note in filled.notes)


def test_other_points_for_a_full_score_are_told() -> None:
    assert not any("full score" in note for note in canvas(CANVAS, mark("grace", 1)).notes)
    comma = CANVAS.replace(",", ";").replace(";;20;", ";;20,5;")
    assert not any("full score" in note for note in canvas(comma, worth=20.5).notes)
    assert canvas(CANVAS, worth=170).notes[-1].startswith("Canvas counts 20 points for a full score, the results 170")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a,b\n1,2\n", "Docker", "no gradebook of Canvas"),
        (CANVAS.replace("Section", "Group", 1), "Docker", "has Section"),
        (MOODLE, "Docker", "no gradebook of Canvas"),
        (CANVAS, "", "say by --column .* It has: Docker exercises \\(12345\\), Essay \\(777\\)\\."),
        (CANVAS, "Final Score", "neither be filled nor added"),
        (CANVAS, "Section", "neither be filled nor added"),
        (CANVAS, "Docker exercises (12346)", "neither be filled nor added"),
        (CANVAS, "=1+1", "neither be filled nor added"),
        (CANVAS.replace(",10,(read", ",(read only),(read"), "Essay", "neither be filled nor added"),
        (CANVAS.replace("Essay", "Docker exercises"), "Docker exercises", "2 columns are called"),
        (CANVAS.replace("A,,8,80.5", "A,,8,80.5,9"), "Essay", "row 4 has more cells"),
        ("", "Essay", "no header"),
        ('Student,ID,Section\n"King', "Essay", "no CSV file"),
    ],
)
def test_a_sheet_that_cannot_be_filled(text: str, column: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"Grades.csv: .*{message}"):
        canvas(text, mark("kingada", 1), column=column)


# ── Moodle ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["Ada King", "Ada King (501)", "Participant (501)", "Participant 501", "ada@x.example"]
)
def test_a_student_of_moodle_is_known_by_any_of_its_names(name: str) -> None:
    filled = moodle(MOODLE, mark(name, 17.5))
    assert changed(MOODLE, filled.text) == {(1, 4): "17.5"}
    assert filled.notes == ("Row 3 (Grace Hopper): is nobody in the results; left as it was.",)


def test_a_name_as_moodle_writes_it_into_a_download() -> None:
    text = MOODLE.replace("Ada King", "Ada_K. O'Brien")
    assert changed(text, moodle(text, mark("Ada K. OBrien", 1)).text) == {(1, 4): "1"}


def test_a_name_that_two_have_is_nobody_s_without_its_number() -> None:
    text = MOODLE.replace("Grace Hopper", "Ada King")
    filled = moodle(text, mark("Ada King", 5))
    assert filled.text == text
    assert filled.notes == ("Ada King: fits 2 rows: Row 2 (Ada King), Row 3 (Ada King); the score is not in the file.",)
    assert changed(text, moodle(text, mark("Ada King (502)", 5)).text) == {(2, 4): "5"}


def test_two_students_who_fit_one_row_are_told_and_neither_is_written() -> None:
    filled = moodle(MOODLE, mark("Ada King", 5), mark("ada@x.example", 20))
    assert filled.text == MOODLE
    assert [note for note in filled.notes if "fits another student too" in note] == list(filled.notes[:2])


def test_who_was_not_graded_keeps_the_grade_that_is_there() -> None:
    filled = moodle(MOODLE, mark("Grace Hopper", None, "not graded: 3.1.4"), mark("Ada King", 0))
    assert changed(MOODLE, filled.text) == {(1, 4): "0"}
    assert filled.notes == ("Grace Hopper: not graded: 3.1.4; left as it was.",)


def test_a_grade_that_moodle_would_pass_over_is_told() -> None:
    notes = moodle(MOODLE, mark("Ada King", 20.01), mark("Grace Hopper", 20), worth=25).notes
    assert [note.partition(":")[0].partition(" for ")[0] for note in notes[1:]] == [
        "Moodle counts 20.00 points",
        "Row 2 (Ada King)",
    ]


@pytest.mark.parametrize("name", ["Identifier", "Grade", "Last modified (grade)"])
def test_moodle_s_columns_are_needed(name: str) -> None:
    with pytest.raises(UsageError, match=r"Grades.csv: has no column .*English"):
        moodle(MOODLE.replace(name, "Other", 1), mark("Ada King", 1))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("ada@x.example", "b@x.example"), "Email address,Grade\nada@x.example,7.5\n"),
        (("0042", "43"), "ID number,Grade\n0042,7.5\n"),
    ],
)
def test_moodle_s_gradebook_import_needs_no_sheet(names: tuple[str, str], text: str) -> None:
    filled = moodle_import([mark(names[0], 7.5), mark(names[1], None, "not graded: 1")], "results")
    assert (filled.text, filled.count) == (text, 1)
    assert filled.notes == (f"{names[1]}: not graded: 1; left out.",)


@pytest.mark.parametrize("names", [(), ("ada",), ("ada@x.example", "bob"), ("ada@x.example", "42"), ("=1@x.example",)])
def test_moodle_needs_a_sheet_else(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="grading worksheet"):
        moodle_import([mark(name, 1) for name in names], "results")


# ── whatever stands in a sheet ──────────────────────────────────────────────────────────

CELL = st.one_of(st.sampled_from([*reports.HOSTILE, "", "EX"]), st.text(max_size=8)).filter(
    lambda cell: "\ud800" not in cell
)
SCORE = st.one_of(st.none(), st.floats(0, 1000, allow_nan=False))
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CANVAS_HEADER = ("Student", "ID", "SIS Login ID", "Section", "Lab (1)", "Other (2)")
MOODLE_HEADER = ("Identifier", "Full name", "Email address", "Last modified (grade)", "Grade", "Extra")


def csv_of(table: Sequence[Sequence[str]], delimiter: str, newline: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows(table)
    return out.getvalue()


@pytest.mark.parametrize(
    ("header", "fill"),
    [
        (CANVAS_HEADER, lambda text, marks: canvas(text, *marks, column="Lab")),
        (CANVAS_HEADER, lambda text, marks: canvas(text, *marks, column="New")),
        (MOODLE_HEADER, lambda text, marks: moodle(text, *marks)),
    ],
)
@given(data=st.data(), delimiter=st.sampled_from(",;\t"), newline=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=40)
def test_only_scores_are_written_and_everyone_is_told_or_in_the_sheet_once(
    header: tuple[str, ...],
    fill: Callable[[str, Sequence[Grade]], Exported],
    data: st.DataObject,
    delimiter: str,
    newline: str,
) -> None:
    row = st.lists(CELL, min_size=6, max_size=6)
    table = [list(header), *data.draw(st.lists(row, max_size=5))]
    known = [cell for line in table[1:] for cell in line[:3]]
    name = st.one_of(st.sampled_from(known), CELL) if known else CELL
    scores = data.draw(st.dictionaries(name, SCORE, max_size=6))
    marks = [mark(student, score, "not graded: 1") for student, score in scores.items()]
    filled = fill(csv_of(table, delimiter, newline), marks)
    after = rows(filled.text, delimiter)
    column = 4 if len(after[0]) == 6 else 6
    assert [line[:column] + line[column + 1 :] for line in after] == [
        line[:4] + line[5:] if column == 4 else line for line in table
    ]
    written = [
        new[column] for old, new in zip(table, after, strict=True) if new[column] != (old[4] if column == 4 else "")
    ]
    assert not any(cell.lstrip().startswith(FORMULA) for cell in written)
    assert len(scores) == filled.count + sum("is nobody in" not in note and not _general(note) for note in filled.notes)


def _general(note: str) -> bool:
    return "for a full score" in note or "pass over them" in note or " in the sheet becomes " in note


@pytest.mark.parametrize("fill", [canvas, moodle])
def test_a_mark_that_somebody_entered_is_replaced_only_on_request_and_never_without_a_word(
    fill: Callable[..., Exported],
) -> None:
    text = CANVAS if fill is canvas else MOODLE
    name = "grace" if fill is canvas else "Grace Hopper"
    kept = fill(text, mark(name, 17.5), over=False)
    assert (kept.text, kept.count) == (text, 0)
    assert kept.notes[-1].startswith(f"{name}: has 3")
    assert kept.notes[-1].endswith("left as it was. With --overwrite it is replaced.")
    replaced = fill(text, mark(name, 17.5))
    assert list(changed(text, replaced.text).values()) == ["17.5"]
    assert any(note.startswith(f"{name}: 3") and note.endswith("in the sheet becomes 17.5.") for note in replaced.notes)
    assert fill(text, mark(name, 3), over=False).count == 1, "the same mark is no question"


LATE = Grade(
    "Ada King",
    17.5,
    20,
    20,
    20,
    (ExerciseGrade("3.1.4", 7.5, 10, reasons=("late by 1 day: <b>",)),),
    comment="well done",
)


def imported_by_moodle(packed: bytes) -> dict[tuple[int, str], bytes]:
    """What mod/assign/feedback/file/importziplib.php takes: (participant, file name) of each file."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            parts = name.split("/")
            info = parts[0].split("_", 4)
            assert len(info) >= 4
            assert info[1].isdigit()
            assert info[2:4] == ["assignfeedback", "file"]
            found[int(info[1]), "/".join(filter(None, [*info[4:], *parts[1:]]))] = archive.read(name)
    return found


def test_moodle_gets_comments_and_a_feedback_page_for_each_student_as_its_importers_read_them() -> None:
    filled = moodle(MOODLE, LATE, mark("Grace Hopper", 3))
    assert changed(MOODLE, filled.text) == {
        (1, 4): "17.5", (1, 7): "3.1.4: late by 1 day: &lt;b&gt;; well done", (2, 4): "3",
    }  # fmt: skip
    packed = filled.files["moodle-feedback.zip"]
    assert isinstance(packed, bytes)
    assert imported_by_moodle(packed) == {
        (501, "feedback.html"): b"<p>17.5", (502, "feedback.html"): b"<p>3",
    }  # fmt: skip


def test_nbgrader_s_columns_have_what_lateness_took() -> None:
    report = reports.report_of("Ada King", exercise("3.1.4", 10))
    people = {"Ada King": {"first": "Ada", "last": "King", "email": "ada@x"}}
    late = replace(LATE, late="late by 1 day", submitted="2026-03-02T09:00:00+00:00")
    (line,) = csv.DictReader(io.StringIO(to_nbgrader(Scores([report], [late], people=people)).text))
    assert line == {
        "assignment": "3.1.4", "duedate": "", "timestamp": "2026-03-02T09:00:00+00:00", "student_id": "Ada King",
        "last_name": "King", "first_name": "Ada", "email": "ada@x", "raw_score": "10",
        "late_submission_penalty": "2.5", "score": "7.5", "max_score": "10",
    }  # fmt: skip


# ── Gradescope ──────────────────────────────────────────────────────────────────────────


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
    output = document["tests"][1]["output"]
    assert output.startswith("The container did not start.")
    assert "\nExpected: the script runs" in output
    assert "not an allowed base image" in document["tests"][4]["output"]
    assert {key: value for key, value in document.items() if key.endswith("_format")} == {
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
    }


@given(reports.hostile_text())
def test_whatever_students_write_gradescope_gets_inert_text(text: str) -> None:
    written = to_gradescope(reports.filled_with(text))
    assert json.loads(written)["score"] == 0
    assert not set(written.encode()) & {*range(10), *range(11, 32), 127}


# ── the command ─────────────────────────────────────────────────────────────────────────


def results_of(folder: Path, graded: Sequence[Report]) -> Path:
    with Journal.open(folder, create=True) as journal:
        info = BatchInfo(1, "digest", "Course", "2026-01-01T00:00:00+00:00", reports.ENGINE)
        journal.begin(info, tuple(report.student for report in graded))
        for report in graded:
            for one in report.exercises:
                journal.record(Graded(report.student, Result(one, "digest", {}, None)))
    return folder


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ada has 13 points, Grace could not be graded in one exercise. The sheets are beside them."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("canvas-sheet", CANVAS), ("sheet.csv", CANVAS), ("moodle-sheet", MOODLE)):
        Path(name).write_text(text, encoding="utf-8")
    Path("latin-1").write_bytes(CANVAS.replace("King", "Kövér").encode("latin-1"))
    Path("results").mkdir()
    ada = reports.report_of("Ada King", reports.passed_exercise(), reports.failed_exercise())
    broken = ExerciseReport("3.1.4", "Pass the weeks", ExerciseStatus.NOT_GRADED, None, 10.0, message="gone")
    grace = reports.report_of("Grace Hopper", reports.passed_exercise(), broken)
    return results_of(tmp_path / "results", [ada, grace])


def files_in(folder: Path) -> set[str]:
    """Those beside the journal."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.lstrip(".").startswith("journal.")}


@pytest.mark.parametrize(
    ("words", "file", "holds"),
    [
        ("csv", "gradebook.csv", '"Ada King",10,3,13,20,""'),
        ("junit", "junit.xml", "Ada King/3.1.4"),
        (
            "canvas --sheet canvas-sheet --column Essay --overwrite",
            "canvas.csv",
            '"King, Ada",101,u1,ada@x.example,A,,13,80.5',
        ),
        ("moodle --sheet moodle-sheet", "moodle.csv", "Participant 501,Ada King,ada@x.example,Submitted,13,20.00,-,"),
        ("gradescope", f"gradescope/{safe_name('Ada King')}.json", '"score": 13'),
    ],
)
def test_one_file_is_written_and_who_has_no_score_is_told(
    results: Path, capsys: pytest.CaptureFixture[str], words: str, file: str, holds: str
) -> None:
    command = ["export", str(results), "--to", *words.split()]
    code = run(command)
    message = capsys.readouterr()
    assert code == 3
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
        (["--to", "canvas"], "Export Entire Gradebook"),
        (["--to", "moodle"], "grading worksheet"),
        (["--to", "moodle", "--sheet", "canvas-sheet"], "has no column Identifier"),
        (["--to", "canvas", "--sheet", "canvas-sheet"], "--column"),
        (["--to", "canvas", "--sheet", "latin-1", "--column", "Lab"], "not UTF-8"),
        (["--to", "canvas", "--sheet", "nothing", "--column", "Lab"], "cannot be read"),
        (["--to", "canvas", "--sheet", "canvas-sheet", "--column", "Essay", "--out", "canvas-sheet"], "ends in .csv"),
        (["--to", "canvas", "--sheet", "sheet.csv", "--column", "Essay", "--out", "sheet.csv"], "the sheet itself"),
        (["--to", "csv", "--out", "results/journal.sqlite"], "ends in .csv"),
        (["--to", "csv", "--sheet", "canvas-sheet"], "--sheet is for Canvas and Moodle"),
        (["--to", "moodle", "--sheet", "moodle-sheet", "--column", "Essay"], "--column is for Canvas"),
        (["--to", "junit", "--exercise", "9.9"], "no exercise 9.9"),
    ],
)
def test_what_cannot_be_done_writes_nothing(
    results: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in results.parent.glob("*") if path.is_file()}
    assert run(["export", str(results), *words]) == 2
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
