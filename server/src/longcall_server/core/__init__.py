# SPDX-License-Identifier: Apache-2.0
"""The pure heart of the server: no socket, no task, no clock, no thread."""
