# SPDX-License-Identifier: Apache-2.0
"""What steps do, a module a subject; importing this enters every verb into the vocabulary."""

from . import conf, driver, frames, http, peer, proxy, raw, server, vectors

__all__ = ["conf", "driver", "frames", "http", "peer", "proxy", "raw", "server", "vectors"]
