from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given

from grader.grading.grades import final_grades
from grader.models import Report
from grader.reports.csv import gradebook_csv, grades_csv
from tests import reports

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def gradebook(*graded: Report) -> str:
    return gradebook_csv(graded, final_grades(graded), {})


def test_grades_have_a_line_for_each_exercise_that_says_why_marks_are_missing() -> None:
    stopped = reports.LOG.partition("\n")[0].replace('"', '""')
    header, *lines = grades_csv([reports.every_status()]).splitlines()
    assert header == "student,exercise,status,score,max_score,seconds,message"
    assert lines == [
        '"amira","3.1.1","passed",10,10,4.21,""',
        f'"amira","3.1.3","failed",0,10,2.0,"The Dockerfile builds: {stopped}"',
        f'"amira","3.1.4","failed",3,10,6.5,"{reports.failed_check().title}: {reports.failed_check().message}"',
        f'"amira","3.1.5","rejected",0,10,0.0,"{reports.rejected_exercise().message.replace(chr(34), chr(34) * 2)}"',
        '"amira","3.2.1","not_submitted",0,10,0.0,"There is no folder 3.2.1 in the submission."',
        '"amira","3.2.2","not_graded","",10,1.5,"The engine stopped answering during the build (connection reset)."',
        '"amira","3.3.L","passed",10,10,3.0,""',
    ]
    assert grades_csv([reports.filled_with("x", 1 / 3)]).splitlines()[1].split(",")[3:6] == ["0.33", "10", "1.0"]


def test_the_gradebook_has_a_row_for_every_student() -> None:
    assert rows(gradebook(*reports.sample_class())) == [
        ["student", "3.1.1", "3.1.3", "3.1.4", "3.1.5", "score", "max_score", "not_graded"],
        ["amira", "10", "10", "10", "10", "40", "40", ""],
        ["Björn Ó Súilleabháin", "10", "10", "3", "0", "23", "40", ""],
        ["chen-wei", "10", "0", "3", "0", "13", "40", ""],
        ["李雷", "10", "10", "10", "", "30", "30", "3.1.5"],
        ["zoe", "10", "0", "3", "10", "23", "40", ""],
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "  =1", "\uff1d1", "\u22121"])
def test_a_name_that_a_spreadsheet_would_execute_gets_an_apostrophe(name: str) -> None:
    assert rows(gradebook(reports.report_of(name)))[1][0] == f"'{name}"


@given(reports.hostile_text())
def test_whatever_students_write_every_row_is_one_line_and_no_cell_is_a_formula(text: str) -> None:
    report = reports.filled_with(text)
    for written, count in ((grades_csv([report]), 6), (gradebook(report), 2)):
        written.encode()
        table = rows(written)
        assert len(table) == len(written.splitlines()) == count
        assert len({len(row) for row in table}) == 1
        assert [cell for row in table for cell in row if cell.lstrip().startswith(FORMULA)] == []
