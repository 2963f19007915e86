# SPDX-License-Identifier: Apache-2.0
"""`longcall-conformance faults`: any SDK through any fault, judged from outside.

A driver asks a real server for thousands of things through the fault proxy. Its SDK may show none
of it to the application: every result arrives and is the right one, no event comes twice, nothing
that is stored runs twice, and nothing is left behind at the end.
"""
