# SPDX-License-Identifier: Apache-2.0
"""`messages.py`: pydantic models from the bundle, by datamodel-code-generator."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Final

from datamodel_code_generator import generate
from datamodel_code_generator.config import GenerateConfig
from datamodel_code_generator.enums import (
    CustomFileHeaderMode,
    DataModelType,
    InputFileType,
    StrictTypes,
    TargetPydanticVersion,
)
from datamodel_code_generator.format import PythonVersion
from datamodel_code_generator.parser import LiteralType

from .errors import ToolFailed
from .model import Bundle, Json
from .python_text import HEADER, LINE_LENGTH, formatted

_HEADER: Final = (
    HEADER
    + '''\
"""The messages of the longcall protocol.

An absent field is `MISSING` and never `None`, which is the value null: ask `is MISSING`. Unknown
fields are ignored. `model_dump_json()` gives a message's exact JSON. Enums are open strings:
`codes` lists the values known today. A `JsonValue` is taken as it is: refusing what is not I-JSON
(PROTOCOL 2) is the codec's part.
"""
'''
)

# What the generator writes, and what stands there instead; each must be found exactly once.
_REPLACEMENTS: Final[Mapping[str, str]] = {
    """\
class BaseModel(_BaseModel):
    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)
""": '''\
class BaseModel(_BaseModel):
    """What all models share: immutable, open to unknown fields, exact when dumped."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        protected_namespaces=(),
        defer_build=True,  # each is built with what uses it, when that is used first
    )
''',
    # Typed for people, unchecked at run time: pydantic's own validates each nested value of a
    # Python object, a thousand times slower, and the codec looks at every value anyway.
    """\
JsonValue = TypeAliasType("JsonValue", Annotated[Any, Field(title="JsonValue")])
""": """\
if TYPE_CHECKING:
    JsonValue: TypeAlias = _JsonValue
else:
    JsonValue = TypeAliasType("JsonValue", Any)
""",
    "from pydantic import BaseModel as _BaseModel\n": (
        "from pydantic import BaseModel as _BaseModel\n"
        "from pydantic import JsonValue as _JsonValue\n"
    ),
    "from typing import Annotated, Any, Literal\n": (
        "from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias\n"
    ),
}


def messages_module(bundle: Bundle) -> str:
    """Returns the text of `messages.py`."""
    config = GenerateConfig(
        input_file_type=InputFileType.JsonSchema,
        output_model_type=DataModelType.PydanticV2BaseModel,
        target_python_version=PythonVersion.PY_311,
        target_pydantic_version=TargetPydanticVersion.V2_14,
        custom_file_header=_HEADER,
        custom_file_header_mode=CustomFileHeaderMode.Replace,
        disable_timestamp=True,
        enum_field_as_literal=LiteralType.All,
        extra_fields="ignore",
        formatters=[],  # each looks for settings in the working directory
        skip_root_model=True,
        strict_types=[StrictTypes.str, StrictTypes.int, StrictTypes.float, StrictTypes.bool],
        use_annotated=True,
        use_attribute_docstrings=True,
        use_field_description=True,
        use_generic_base_class=True,
        # Absent and null are told apart, and a dump adds nothing.
        use_missing_sentinel=True,
        use_one_literal_as_default=True,
        use_schema_description=True,
        use_single_line_docstring=True,
        use_title_as_name=True,
        use_type_alias=True,
    )
    generated = generate(_prepared(dict(bundle.document)), config=config)
    assert isinstance(generated, str)  # one input gives one module
    text = formatted(generated)
    for old, new in _REPLACEMENTS.items():
        if text.count(old) != 1:
            raise ToolFailed(f"datamodel-code-generator no longer writes this once:\n{old}")
        text = text.replace(old, new)
    return formatted(text)


def _prepared(node: Json) -> Json:
    """The schema as the generator needs it.

    - Without defaults: with one the generator would allow null, and a dump would add the field.
    - A constant integer becomes bounds: a constant gets a default, so a message without the
      required field would pass; and `Literal[1]` would take `true`.
    - Descriptions wrapped to the width of a line.
    """
    if isinstance(node, list):
        return [_prepared(item) for item in node]
    if not isinstance(node, dict):
        return node
    prepared = {key: _prepared(value) for key, value in node.items() if key != "default"}
    const = prepared.get("const")
    if prepared.get("type") == "integer" and const is not None:
        prepared |= {"minimum": const, "maximum": const}
        del prepared["const"]
    description = prepared.get("description")
    if isinstance(description, str):
        prepared["description"] = textwrap.fill(description, LINE_LENGTH - 10)
    return prepared
