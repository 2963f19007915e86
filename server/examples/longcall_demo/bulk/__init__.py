# SPDX-License-Identifier: Apache-2.0
"""`bulk_operation`: one module an operation on a file; `handler` goes through the items."""
