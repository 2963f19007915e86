# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from pydantic import ValidationError

from longcall_demo.report.params import ReportParams


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"report_type": "monthly"}, "format"),
        ({"format": "csv"}, "report_type"),
        ({"format": "xls", "report_type": "monthly"}, "csv"),
        ({"format": "csv", "report_type": "monthly", "groupby": "day"}, "groupby"),
        ({"format": "csv", "report_type": "custom", "start_date": "2012-01-01"}, "both"),
        ({"format": "csv", "report_type": "monthly", "group_by": "year"}, "month at the longest"),
        ({"format": "csv", "report_type": "quarterly", "group_by": "year"}, "at the longest"),
        (
            {
                "format": "csv",
                "report_type": "annual",
                "start_date": "2012-02-01",
                "end_date": "2012-01-01",
            },
            "is after",
        ),
        ({"format": "csv", "report_type": "annual", "start_date": "2012-02-30"}, "start_date"),
        ({"format": "csv", "report_type": "annual", "source": ""}, "source"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(payload: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ReportParams.model_validate(payload)


@pytest.mark.parametrize(
    ("kind", "group"),
    [("monthly", "day"), ("quarterly", "week"), ("annual", "month"), ("custom", "day")],
)
def test_each_type_has_its_usual_group(kind: str, group: str) -> None:
    params = ReportParams.model_validate(
        {
            "format": "csv",
            "report_type": kind,
            "start_date": "2012-01-01",
            "end_date": "2012-12-31",
        }
    )
    assert params.group == group
