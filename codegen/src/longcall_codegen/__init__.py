# SPDX-License-Identifier: Apache-2.0
"""From the schema to typed models, code tables, state tables and reference pages."""

__version__ = "0.1.0"
