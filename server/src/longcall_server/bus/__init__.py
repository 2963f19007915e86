# SPDX-License-Identifier: Apache-2.0
"""Wake-ups and live progress: a doorbell that may lose or repeat."""
