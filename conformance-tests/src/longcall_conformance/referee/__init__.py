# SPDX-License-Identifier: Apache-2.0
"""The referee: peers that speak the protocol by hand, independent of every server and SDK."""
