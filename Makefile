# SPDX-License-Identifier: Apache-2.0
# One verb a target; what a verb does stands in tools/. `make help` lists them.
TOOL := tools/python.sh
BIN  := .venv/bin
FUZZ  = cd server/tests && $(CURDIR)/$(BIN)/python -m fuzz
CHAOS = $(BIN)/python conformance-tests/chaos/chaos.py

.DEFAULT_GOAL := help
