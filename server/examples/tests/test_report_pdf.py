# SPDX-License-Identifier: Apache-2.0
import re

import pytest
from conftest import Reporter

from longcall_demo.report.charts import nice_scale
from longcall_demo.report.style import BOLD, fit, number_text
from longcall_demo.report.tables import _fitting

pytestmark = pytest.mark.slow  # whole reports, many times over


def pages(content: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b(?!s)", content))


def test_each_period_has_its_page_and_its_place_in_the_outline(report: Reporter) -> None:
    result, recorder = report(
        format="pdf", report_type="monthly", start_date="2013-11-01", end_date="2014-02-10"
    )
    assert recorder.content.startswith(b"%PDF-")
    assert pages(recorder.content) == 4 == len(recorder.chunks)
    titles = re.findall(rb"/Title \(([^)]*)\)", recorder.content)
    months = [b"November 2013", b"December 2013", b"January 2014", b"February 2014"]
    assert [title for title in titles if title in months] == months
    assert result.file == "seattle-weather-monthly-by-day.pdf"
    assert result.bytes == len(recorder.content)


def test_a_long_period_takes_as_many_pages_as_its_rows_need(report: Reporter) -> None:
    _, recorder = report(
        format="pdf", report_type="custom", start_date="2012-01-01", end_date="2012-03-31"
    )
    assert [len(chunk) for chunk in recorder.chunks] == [31, 31, 29]
    assert pages(recorder.content) == 3


def test_the_same_report_is_the_same_file_to_the_last_byte(report: Reporter) -> None:
    first, _ = report(format="pdf", report_type="annual")
    second, _ = report(format="pdf", report_type="annual")
    assert first == second


@pytest.mark.parametrize(
    "text",
    [
        "date\n2020-01-01\n",
        "date,k\n2020-01-01,only words\n",
        "date,x\n2020-01-01,5\n2020-01-02,\n2020-01-03,5\n",
        "date,x\n2020-01-01,0\n2020-01-02,0\n",
        "date,größe €,x$y_z\n2020-01-01,1e30,-1e-9\n2020-01-02,2,3\n",
        "date,名前\n2020-01-01,1\n",
        "date," + ",".join(f"c{n}" for n in range(40)) + "\n2020-01-01" + ",7" * 40 + "\n",
    ],
    ids=["dates alone", "words", "a gap", "zeros", "extremes", "no glyphs", "wide"],
)
def test_odd_tables_are_drawn_all_the_same(report: Reporter, text: str) -> None:
    _, recorder = report(format="pdf", report_type="monthly", source=report.source(text))
    assert pages(recorder.content) == 1


@pytest.mark.parametrize(
    "values",
    [[], [0], [5, 5], [-3, 4], [0.001, 0.0011], [1e12, 3e12], [12.8, 35.6], [-7.1, -7.1], [1e-12]],
    ids=str,
)
def test_an_axis_holds_all_values_in_a_few_round_steps(values: list[float]) -> None:
    low, high, step = nice_scale(values)
    assert low < high
    assert all(low <= value <= high * (1 + 1e-9) for value in values)
    assert 1 <= round((high - low) / step) <= 7


def test_numbers_are_written_for_human_eyes() -> None:
    assert number_text(1234567.0, 0) == "1,234,567"
    assert number_text(-12.8, 2) == "\N{MINUS SIGN}12.80"
    assert number_text(1.23456e12, 2) == "1.23e+12"
    assert number_text(0.0, 1) == "0.0"


def test_a_number_is_never_cut_off_but_written_less_precisely() -> None:
    assert _fitting(51509446.26, 2, BOLD, 200) == "51,509,446.26"
    assert _fitting(51509446.26, 2, BOLD, 50) == "51,509,446"
    assert _fitting(51509446.26, 2, BOLD, 30) == "5.15e+07"
    assert fit("precipitation", BOLD, 7, 30).endswith("…")
