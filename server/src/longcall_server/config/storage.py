# SPDX-License-Identifier: Apache-2.0
"""Settings of where requests live, and for how long."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from longcall_server.config.durations import PositiveDuration


class StorageSettings(BaseModel):
    """The store and its folder."""

    store: Literal["sqlite", "memory"] = Field(
        "sqlite", description="where requests live; memory forgets them at exit"
    )
    data_dir: Path = Field(
        Path("longcall-data"), description="folder of the database and of handlers' files"
    )
    id_retention: PositiveDuration = Field(
        timedelta(days=7), description="how long an id stays known after its log is removed"
    )

    @property
    def database(self) -> Path:
        """The file of the store `sqlite`."""
        return self.data_dir / "longcall.sqlite3"

    @property
    def files_dir(self) -> Path:
        """The folder of the files that handlers attach, beside the database."""
        return self.data_dir / "files"

    @property
    def bell_dir(self) -> Path:
        """Where the processes of the data folder ring each other."""
        return self.data_dir / "bell"
