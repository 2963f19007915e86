# SPDX-License-Identifier: Apache-2.0
"""Where requests and their logs live: the truth."""
