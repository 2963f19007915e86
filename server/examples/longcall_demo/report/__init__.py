# SPDX-License-Identifier: Apache-2.0
"""The report: params -> source (survey) -> plan -> aggregate -> render; `handler` joins them."""
