# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import pytest

from longcall_server.auth import Principal, principal_id
from longcall_server.stores.base import Owner


def _holder(*permissions: str) -> Principal:
    return Principal(Owner("acme", "ann"), frozenset(permissions), 0, "p")


@pytest.mark.clause("3.5.2", "3.5.8")
@pytest.mark.parametrize(
    ("permission", "action", "allowed"),
    [
        ("request:*", "anything", True),
        ("request:*", "", True),
        ("request:report.*", "report.monthly", True),
        ("request:report.*", "report.", True),
        ("request:report.*", "reportXmonthly", False),
        ("request:*.read", "a.b.read", True),
        ("request:a*c*e", "abcde", True),
        ("request:a*c*e", "ace", True),
        ("request:a*c*e", "abde", False),
        ("request:ab*ba", "aba", False),
        ("request:ab*ba", "abba", True),
        ("request:*b*b*", "abb", True),
        ("request:*b*b*", "ab", False),
        ("request:a**b", "ab", True),
        ("request:*ab", "abab", True),
        ("request:a*ab*b", "aab", False),
        ("request:[a-z]?", "ab", False),
        ("request:a.c", "abc", False),
        ("request:echo", "echo2", False),
        ("request:", "echo", False),
        ("request", "echo", False),
        ("Request:*", "echo", False),
        ("admin", "echo", False),
        ("requests:read:tenant", "echo", False),
    ],
)
def test_an_action_needs_a_permission_that_matches_it(
    permission: str, action: str, allowed: bool
) -> None:
    assert _holder(permission).may_request(action) is allowed


def test_a_permission_of_many_stars_takes_no_time_to_judge() -> None:
    holder = _holder("request:" + "*a" * 100 + "*b")
    before = time.process_time()
    assert not holder.may_request("a" * 128)
    # A regular expression would still be at it when the sun has gone out.
    assert time.process_time() - before < 5


@pytest.mark.clause("3.4.4", "3.5.8")
def test_only_a_tenant_reader_lists_others() -> None:
    assert _holder("requests:read:tenant").may_list("bob")
    assert not _holder("admin", "request:*").may_list("bob")
    assert _holder().may_list("ann")


@pytest.mark.clause("10.40.1")
def test_the_name_of_a_principal_tells_tenant_and_user_apart() -> None:
    names = {principal_id(Owner(*pair)) for pair in (("a", "bc"), ("ab", "c"), ("", "abc"))}
    assert len(names) == 3
