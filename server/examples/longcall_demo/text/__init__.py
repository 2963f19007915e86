# SPDX-License-Identifier: Apache-2.0
"""`stream_text`: a long text word by word, as a language model would write it."""
