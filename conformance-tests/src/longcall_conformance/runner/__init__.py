# SPDX-License-Identifier: Apache-2.0
"""The runner: loads cases, plays them against drivers and servers, judges what was seen."""

from . import verbs as verbs  # enters the verbs into the vocabulary, before any case is read
