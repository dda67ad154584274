"""The line and its number, as EXERCISES.md defines them."""

import math

import pytest

from grader.checks.compare import agrees, numbers, predicted, with_comma, without_series

LINE = "Predicted sales for next week: "


@pytest.mark.parametrize("number", ["110", "110.0", "110.00", "+110", "1.1e2", "110."])
def test_the_number_is_read_not_the_text(number: str) -> None:
    assert predicted(f"{LINE}{number}\n".encode()) == 110


@pytest.mark.parametrize(
    ("output", "number"),
    [
        (f"hello\n{LINE}1\nbye\n", 1),
        (f"{LINE}1\n{LINE}2\n", 2),
        (f"{LINE}1\r\n", 1),
        (f"  {LINE}  1  ", 1),
        (f"{LINE}-3.5", -3.5),
        ("", None),
        ("110\n", None),
        (f"{LINE}\n", None),
        (f"{LINE}one hundred\n", None),
        (f"{LINE}110 units\n", None),
        (f"{LINE}1,234.5\n", None),
        (f"INFO {LINE}110\n", None),
        ("predicted sales for next week: 110\n", None),
    ],
)
def test_the_last_line_of_the_form_counts(output: str, number: float | None) -> None:
    assert predicted(output.encode()) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity"])
def test_nan_and_inf_are_read_and_never_agree(text: str) -> None:
    number = predicted(f"{LINE}5\n{LINE}{text}\n".encode())
    assert number is not None
    assert not agrees(number, 5)
    assert not agrees(number, math.nan)
    assert not agrees(number, math.inf)


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        (110, 110, True),
        (110.01, 110, True),
        (110.02, 110, False),
        (0, 0.01, True),
        (1_000_000, 1_000_001, True),
        (1_000_000, 1_000_002, False),
        (-110, 110, False),
    ],
)
def test_tolerance(actual: float, expected: float, same: bool) -> None:
    assert agrees(actual, expected) is same


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("log: 110.0", [110]),
        ("prediction=110.57.", [110.57]),
        ("[100, 120, 110] -> 110", [100, 120, 110, 110]),
        ("110.5units", [110.5]),
        ("v2 x", []),
        ("1e3", [1000]),
    ],
)
def test_numbers_of_a_line(line: str, found: list[float]) -> None:
    assert numbers(line) == found


def test_a_listing_of_the_weeks_is_not_a_prediction() -> None:
    assert without_series([100, 120, 110], [100, 120, 110]) == []
    assert without_series([100, 120, 110, 110], [100, 120, 110]) == [110]
    assert without_series([120, 110], [100, 120, 110]) == [120, 110]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Predicted: 5,210.61", [("5,210.61", 5210.61)]),
        ("1,234,567 and -3,4", [("1,234,567", 1234567), ("-3,4", -34), ("-3,4", -3.4)]),
        ("1,2345", [("1,2345", 12345), ("1,2345", 1.2345)]),
        ("5210.61, 3", []),
    ],
)
def test_numbers_with_commas(line: str, found: list[tuple[str, float]]) -> None:
    assert with_comma(line) == found
