# SPDX-License-Identifier: Apache-2.0
"""Which files may be reported on, and what is said of those that cannot."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Reporter

from longcall_demo.report import aggregate, survey
from longcall_demo.sources import reader
from longcall_demo.sources.folder import find_source
from longcall_server import HandlerError


def failure(report: Reporter, **payload: Any) -> HandlerError:
    return report.failure(**{"format": "csv", "report_type": "monthly"} | payload)


@pytest.mark.parametrize("name", ["../secret.csv", "a/../../secret.csv", "out.csv", "linked/s.csv"])
def test_what_lies_outside_of_the_data_folder_is_refused_unseen(
    report: Reporter, name: str
) -> None:
    outside = report.data.parent
    (outside / "secret.csv").write_text("date,x\n2020-01-01,1\n")
    (report.data / "out.csv").symlink_to(outside / "secret.csv")
    (report.data / "linked").symlink_to(outside)
    refused = failure(report, source=name)
    assert refused.code == "SOURCE_NOT_ALLOWED"
    assert str(outside) not in refused.message


def test_an_absolute_path_is_refused_even_into_the_data_folder(report: Reporter) -> None:
    name = report.source("date,x\n2020-01-01,1\n")
    assert failure(report, source=str(report.data / name)).code == "SOURCE_NOT_ALLOWED"


@pytest.mark.parametrize("name", ["missing.csv", ".", "n" * 250 + "/x", "nul\0", "loop"])
def test_what_is_not_a_file_is_not_found(report: Reporter, name: str) -> None:
    (report.data / "loop").symlink_to(report.data / "loop")
    assert failure(report, source=name).code == "SOURCE_NOT_FOUND"


def test_a_file_in_a_folder_of_the_data_folder_is_found(report: Reporter) -> None:
    (report.data / "sales").mkdir()
    report.source("date,x\n2020-01-01,1\n", "sales/north.csv")
    result, _ = report(format="csv", report_type="monthly", source="sales/north.csv")
    assert result.file == "north-monthly-by-day.csv"


def test_the_data_folder_is_data_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGCALL_DEMO_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").touch()
    assert find_source("x.csv") == (tmp_path / "data" / "x.csv").resolve()


@pytest.mark.parametrize(
    ("content", "line", "column", "says"),
    [
        (b"", 1, None, "header"),
        (b"date,x\n", 1, None, "no records"),
        (b"a,b\n1,2\n", 1, None, "no column holds dates"),
        (b"date,x,x\n", 1, "x", "name of its own"),
        (b"date,\n", 1, "", "name of its own"),
        (b"date,x\n2020-01-01,1\n2020-01-02,1,2\n", 3, None, "3 cells where the header has 2"),
        (b"date,x\n\n2020-01-01,1\n\n2020-13-02,1\n", 5, "date", "'2020-13-02' is not a date"),
        (b"date,x\n2020-01-01,1\n2020-01-02,one\n2020-01-03,2\n", 3, "x", "'one' is not a number"),
        (b"date,x\n2020-01-01,1\n2020-01-02,inf\n2020-01-03,2\n", 3, "x", "not a number"),
        (b"date,x\n2020-01-01,1\n,2\n", 3, "date", "'' is not a date"),
        (b"date,x\n2020-01-01,\xff\n", 2, None, "byte 12 is not UTF-8"),
        (b'date,x\n2020-01-01,"a\nb"\n2020-01-02,"a\n', 4, None, "not CSV"),
        (b'date,x\n2020-01-01,"1\n"\n2020-01-02,2\n2020-01-03,3,3\n', 5, None, "3 cells"),
        (b'"date\n",x\n2020-01-01,1\n', 1, None, "not CSV"),
    ],
)
def test_bad_content_is_refused_with_its_place(
    report: Reporter, content: bytes, line: int, column: str | None, says: str
) -> None:
    refused = failure(report, source=report.source(content))
    assert refused.code == "BAD_SOURCE"
    assert refused.details == {"line": line, "column": column}
    assert says in refused.message


def test_a_defect_far_into_a_file_is_found_before_the_first_row_is_emitted(
    report: Reporter,
) -> None:
    lines = [f"2020-01-01T00:00:00,{number}" for number in range(3 * reader.BATCH_RECORDS)]
    lines[-1] = "2020-01-01T00:00:00,12_000"
    refused = failure(report, source=report.source("\n".join(["time,x", *lines])))
    assert refused.details == {"line": len(lines) + 1, "column": "x"}


def test_a_range_without_records_is_said(report: Reporter) -> None:
    refused = failure(report, start_date="2019-01-01", end_date="2019-12-31")
    assert refused.code == "NO_RECORDS"


def test_a_source_not_in_order_with_too_many_groups_is_refused(
    report: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregate, "MAX_UNORDERED_CELLS", 5)
    disordered = "date,x\n2020-01-03,1\n2020-01-01,1\n2020-01-02,1\n"
    assert failure(report, source=report.source(disordered)).code == "SOURCE_UNSORTED"
    result, _ = report(
        format="csv", report_type="monthly", group_by="month", source=report.source(disordered)
    )
    assert result.rows == 1


def test_days_without_end_are_refused(report: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MAX_DAYS", 2)
    name = report.source("date,x\n2020-01-01,1\n2020-01-02,1\n2020-01-03,1\n")
    assert "different days" in failure(report, source=name).message


def test_a_line_without_end_is_refused(report: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 64)
    name = report.source("date,x\n2020-01-01," + "1" * 500 + "\n")
    assert failure(report, source=name).code == "BAD_SOURCE"


@pytest.mark.parametrize(
    "text",
    [
        "date,x,k\n2020-02-01,1.5,a\n",
        "\ufeffdate;x;k\r\n2020/2/1;1.5;a\r\n",
        "k\tx\twhen\na\t1.5\t2020-02-01 23:59:59.5+02:00\n",
        'x|k|Timestamp\n1.5|"a"|2020-02-01T00:00Z',
        "time,x,day,k\n12:30,1.5,2020-02-01,a\n",
    ],
    ids=["plain", "byte order mark, semicolons", "tabs, zone", "bars, no last line end", "clock"],
)
def test_csv_of_many_kinds_is_understood(report: Reporter, text: str) -> None:
    _, recorder = report(format="csv", report_type="monthly", source=report.source(text))
    [row] = recorder.rows
    assert (row["start"], row["numbers"]["x"]["sum"]) == ("2020-02-01", 1.5)
    assert row["categories"]["k"] == {"a": 1}


def test_columns_of_text_without_order_are_left_out_and_named(report: Reporter) -> None:
    lines = "".join(f"2020-01-01,id-{number},1,{'long' * 20}\n" for number in range(30))
    name = report.source("date,id,x,note\n" + lines)
    result, recorder = report(format="csv", report_type="monthly", source=name)
    assert result.summary.ignored_columns == ["id", "note"]
    assert recorder.rows[0]["categories"] == {}
