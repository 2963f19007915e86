#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tools with the first Python that is new enough, or says what is missing.
# Set PYTHON to choose one yourself.
set -eu

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if is_new_enough "$candidate"; then
        if ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "missing: the venv module of $candidate (Debian, Ubuntu: apt-get install python3-venv)" >&2
            exit 1
        fi
        exec "$candidate" "$@"
    fi
done
echo "missing: Python 3.11 or newer (found: $("${PYTHON:-python3}" --version 2>&1 || true)); install it, or name it: make PYTHON=/path/to/python3.11" >&2
exit 1
