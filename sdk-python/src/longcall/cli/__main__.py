# SPDX-License-Identifier: Apache-2.0
"""`python -m longcall.cli` is `longcall`."""

import sys

from . import main

sys.exit(main())
