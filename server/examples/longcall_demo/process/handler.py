# SPDX-License-Identifier: Apache-2.0
"""`process_data`: one of five pipelines over a CSV file of the data folder.

It goes on after a crash as `emitter` says: every attempt goes through the same source again, makes
the same rows, and emits those that are not out yet. (`describe` goes on at once with the first
column that is not.)
"""

from longcall_demo.process.aggregate import aggregate
from longcall_demo.process.anomalies import anomalies
from longcall_demo.process.clean import clean
from longcall_demo.process.describe import describe
from longcall_demo.process.params import (
    AggregateParams,
    AnomaliesParams,
    CleanParams,
    DescribeParams,
    ProcessParams,
    TransformParams,
)
from longcall_demo.process.results import ProcessResult
from longcall_demo.process.run import Run
from longcall_demo.process.transform import transform
from longcall_demo.sources.folder import find_source
from longcall_demo.sources.reader import Source
from longcall_server import SyncRequestContext


def process_data(ctx: SyncRequestContext, params: ProcessParams) -> ProcessResult:
    """See the params of each pipeline for what can be asked. Every chunk is a list of rows:
    ColumnDescription, DataRow, GroupRow or Anomaly objects.

    Fails with SOURCE_NOT_ALLOWED, SOURCE_NOT_FOUND, BAD_SOURCE (its details name the line and
    the column), SOURCE_CHANGED, SOURCE_TOO_LARGE, SOURCE_UNSORTED, UNKNOWN_COLUMN,
    DUPLICATE_COLUMN, BAD_RULE, BAD_EXPRESSION, EXPRESSION_FAILED; none is worth another attempt.
    """
    with Source(find_source(params.source)) as source:
        run = Run(ctx, source)
        match params:
            case DescribeParams():
                return describe(run, params)
            case CleanParams():
                return clean(run, params)
            case AggregateParams():
                return aggregate(run, params)
            case AnomaliesParams():
                return anomalies(run, params)
            case TransformParams():
                return transform(run, params)
