# SPDX-License-Identifier: Apache-2.0
"""The files of the data folder: `folder` finds them, `reader` reads CSV, `cells` reads a cell."""
