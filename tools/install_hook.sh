#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the pre-commit hook into this checkout; leaves a hook that is not ours alone.
set -eu
cd "$(dirname "$0")/.."
hook=$(git rev-parse --git-path hooks)/pre-commit
if [ -e "$hook" ] && ! grep -q 'tools/pre_commit.py' "$hook"; then
    echo "there is another $hook already: remove it first" >&2
    exit 1
fi
mkdir -p "$(dirname "$hook")"
printf '#!/bin/sh\nexec tools/python.sh tools/pre_commit.py\n' >"$hook"
chmod +x "$hook"
echo "installed $hook"
