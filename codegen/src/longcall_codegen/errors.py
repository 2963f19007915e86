# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while generating.

CodegenError
├── SchemaError    the schema is not what the generators need
├── ToolMissing    a generator needs a program that is not there
└── ToolFailed     a program that a generator runs failed, or gave what was not expected
"""

from __future__ import annotations


class CodegenError(Exception):
    """Nothing was generated; the text says why, and where."""


class SchemaError(CodegenError):
    """A file of the schema is not what the generators need; the text names file and place."""


class ToolMissing(CodegenError):
    """A program that a generator needs is not there; the text says how to get it."""


class ToolFailed(CodegenError):
    """A program that a generator runs failed; the text carries its words."""
