# SPDX-License-Identifier: Apache-2.0
"""The workbook, opened by another library: its cells hold what was counted plainly, its tables
and charts cover these cells and no others."""

import io
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest
from conftest import Recorder, Reporter
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from plain_count import SALES, WEATHER, expected

from longcall_demo.make_csv import records
from longcall_demo.report import render_xlsx
from longcall_demo.sources.folder import find_source
from longcall_server import HandlerError

Cells = list[dict[str, Any]]
CASES: list[dict[str, Any]] = [
    {"report_type": "monthly", "start_date": "2012-11-15", "end_date": "2013-03-10"},
    {"report_type": "quarterly"},
    {"report_type": "annual"},
]


def sheets(recorder: Recorder) -> tuple[Worksheet, Worksheet]:
    book = openpyxl.load_workbook(io.BytesIO(recorder.content))
    assert book.sheetnames == ["Summary", "Rows"]
    summary, rows = book["Summary"], book["Rows"]
    assert isinstance(summary, Worksheet)
    assert isinstance(rows, Worksheet)
    return summary, rows


def table(sheet: Worksheet, name: str) -> Cells:
    """The rows of a table object, by the names that the table gives its columns."""
    found = sheet.tables[name]
    head, *lines = [[cell.value for cell in line] for line in sheet[found.ref]]
    assert head == [column.name for column in found.tableColumns]
    return [dict(zip(head, line, strict=True)) for line in lines]


def charts(sheet: Worksheet) -> list[Any]:
    found: list[Any] = sheet._charts  # type: ignore[attr-defined]  # read, with no public name
    return found


def close(value: float | None) -> Any:
    """Excel's 16 digits of a figure."""
    return None if value is None else pytest.approx(value, rel=1e-15, abs=0)


def figures(counted: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{figure}": close(value) for figure, value in counted.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell_is_that_of_a_plain_count(report: Reporter, case: dict[str, Any]) -> None:
    counted, whole = expected(find_source(None), case, *WEATHER)
    result, recorder = report(format="xlsx", **case)
    assert recorder.rows == counted
    summary, rows = sheets(recorder)
    words = sorted(whole["categories"]["weather"])
    lines = table(rows, "Rows")
    assert len(lines) == len(counted) == result.rows
    for line, row in zip(lines, counted, strict=True):
        cells = {"period": row["period"], "records": row["records"]}
        cells |= {name: datetime.fromisoformat(row[name]) for name in ("start", "end")}
        for name, found in row["numbers"].items():
            cells |= figures(found, f"{name}_")
        counts = row["categories"]["weather"]
        cells |= {f"weather={word}": counts.get(word, 0) for word in words}
        assert line == cells
    assert table(summary, "Figures") == [
        {"column": name} | figures(found) for name, found in whole["numbers"].items()
    ]
    assert table(summary, "Categories") == [
        {"column": "weather", "value": word, "records": whole["categories"]["weather"][word]}
        for word in words
    ]
    facts = {line[0].value: line[1].value for line in summary["A4:B9"]}
    assert (facts["Records"], facts["Rows"]) == (whole["records"], len(counted))
    assert facts["Source SHA-256"] == result.summary.source_sha256


def test_a_source_of_many_records_a_day_as_well(report: Reporter) -> None:
    text = "".join(records(5_000, 3, date(2012, 11, 20), 90, shuffle=True))
    case = {"report_type": "monthly", "group_by": "week"}
    counted, whole = expected(report.data / report.source(text), case, *SALES)
    _, recorder = report(format="xlsx", source="records.csv", **case)
    summary, rows = sheets(recorder)
    prices = [line["price_sum"] for line in table(rows, "Rows")]
    assert prices == [close(row["numbers"]["price"]["sum"]) for row in counted]
    assert len(table(summary, "Categories")) == sum(map(len, whole["categories"].values()))


def test_charts_cover_all_rows_of_the_columns_that_they_name(report: Reporter) -> None:
    case = {"report_type": "annual", "start_date": "2012-01-01", "end_date": "2014-12-31"}
    result, recorder = report(format="xlsx", **case)
    summary, rows = sheets(recorder)
    head = {cell.value: get_column_letter(cell.column or 0) for cell in rows[1]}
    last = result.rows + 1
    assert rows.tables["Rows"].ref == f"A1:{get_column_letter(len(head))}{last}"
    shown = []
    for chart in charts(summary):
        for series in chart.series:
            assert series.tx.strRef.f in {f"Rows!${letter}$1" for letter in head.values()}
            letter = series.tx.strRef.f.split("$")[1]
            assert series.val.numRef.f == f"Rows!${letter}$2:${letter}${last}"
            assert series.cat.numRef.f == f"Rows!${head['start']}$2:${head['start']}${last}"
            shown.append(rows[f"{letter}1"].value)
    assert [chart.tagname for chart in charts(summary)] == ["barChart", *["lineChart"] * 3]
    lines = [f"{name}_{f}" for name in WEATHER[1][1:] for f in ("mean", "min", "max")]
    assert shown == ["precipitation_sum", *lines]


def test_cells_are_dates_and_numbers_as_a_reader_expects_them(report: Reporter) -> None:
    source = report.source("date,price,n\n2020-01-01,1234.50,7\n2020-01-02,2.25,-1\n")
    _, recorder = report(format="xlsx", report_type="monthly", group_by="month", source=source)
    _, rows = sheets(recorder)
    formats = {head.value: cell.number_format for head, cell in zip(rows[1], rows[2], strict=True)}
    assert formats["start"] == formats["end"] == "yyyy-mm-dd"
    assert formats["price_sum"] == formats["price_min"] == "#,##0.00"
    assert formats["price_mean"] == "#,##0.000"
    assert formats["records"] == formats["n_sum"] == "#,##0"
    assert formats["n_mean"] == "#,##0.0"
    assert rows.freeze_panes == "D2"
    for letter, head in zip("ABCDEFGHI", rows[1], strict=False):
        assert rows.column_dimensions[letter].width > len(str(head.value)) * 0.9


def test_the_same_report_is_the_same_file_to_the_last_byte(report: Reporter) -> None:
    first, _ = report(format="xlsx", report_type="annual")
    second, _ = report(format="xlsx", report_type="annual")
    assert first == second
    assert first.file == "seattle-weather-annual-by-month.xlsx"


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ("date\n2020-01-01\n", []),
        ("date,k\n2020-01-01,only words\n", ["k=only words"]),
        ("date,x,X\n2020-01-01,1,2\n", ["x_count", "X_count (2)"]),
        ("date,=1+1\n2020-01-01,=2+2\n", ["=1+1==2+2"]),
        ("date,größe €\n2020-01-01,1e30\n", ["größe €_sum"]),
        ("date,x\n2020-01-01,\n2020-01-02,5\n", ["x_sum"]),
    ],
    ids=["dates alone", "words", "case", "formulas", "extremes", "a gap"],
)
def test_odd_columns_make_a_sound_workbook(report: Reporter, text: str, heads: list[str]) -> None:
    _, recorder = report(format="xlsx", report_type="monthly", source=report.source(text))
    _, rows = sheets(recorder)
    [first, *_] = table(rows, "Rows")
    assert set(heads) <= set(first)
    assert all(cell.data_type != "f" for line in rows for cell in line)


def test_days_before_those_of_excel_are_written_as_text(report: Reporter) -> None:
    source = report.source("date,x\n1899-12-31,1\n1900-02-01,2\n1900-03-01,3\n")
    _, recorder = report(format="xlsx", report_type="monthly", source=source)
    summary, rows = sheets(recorder)
    starts = [line["start"] for line in table(rows, "Rows")]
    assert starts == ["1899-12-31", *map(datetime.fromisoformat, ("1900-02-01", "1900-03-01"))]
    assert "dateAx" not in {axis.tagname for axis in charts(summary)[0]._axes.values()}


def test_more_than_a_workbook_can_hold_is_refused_before_the_first_row(
    report: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_xlsx, "MAX_CELLS", 100)
    recorder = report.recorder()
    with pytest.raises(HandlerError) as failed:
        report.run({"format": "xlsx", "report_type": "monthly"}, recorder)
    assert failed.value.code == "REPORT_TOO_LARGE"
    assert recorder.chunks == []
