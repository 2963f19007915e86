# SPDX-License-Identifier: Apache-2.0
"""The edges that clients reach. They translate, and decide nothing."""
