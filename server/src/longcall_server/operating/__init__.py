# SPDX-License-Identifier: Apache-2.0
"""What an operator does with a server's store: dead letters, backups. Commands, one a module."""
