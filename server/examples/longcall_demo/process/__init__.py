# SPDX-License-Identifier: Apache-2.0
"""`process_data`: one module a pipeline over what `run` reads and emits; `handler` joins them."""
