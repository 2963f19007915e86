# SPDX-License-Identifier: Apache-2.0
"""The protocol of a client without any I/O; `client` is the door, and says how to drive it."""

from .client import ClientProtocol
from .effects import (
    Announced,
    Close,
    Effect,
    FetchToken,
    Open,
    Send,
    SetReadLimit,
    StateChanged,
    Warned,
)
from .link import ListQuestion, Page
from .outcome import Ending, Outcome
from .questions import Question
from .reader import EventReader
from .request import Phase, TrackedRequest
from .signals import Signal

__all__ = [
    "Announced",
    "ClientProtocol",
    "Close",
    "Effect",
    "Ending",
    "EventReader",
    "FetchToken",
    "ListQuestion",
    "Open",
    "Outcome",
    "Page",
    "Phase",
    "Question",
    "Send",
    "SetReadLimit",
    "Signal",
    "StateChanged",
    "TrackedRequest",
    "Warned",
]
