# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis.strategies import DataObject, booleans, data, text
from token_maker import SECRET

from longcall_server.auth import Authenticator, KeyRing, Principal, create_token, principal_id
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


@functools.cache
def _matches_by_definition(glob: str, action: str) -> bool:
    """PROTOCOL 3.5.2, word by word and slowly."""
    if not glob:
        return not action
    if glob[0] == "*":
        return any(_matches_by_definition(glob[1:], action[n:]) for n in range(len(action) + 1))
    return action[:1] == glob[0] and _matches_by_definition(glob[1:], action[1:])


# Few letters, so that much matches; those that mean something to other kinds of patterns.
LETTERS = "ab.:\n[?\\"


@pytest.mark.clause("3.5.2")
@settings(max_examples=500, deadline=None)
@given(glob=text("*" + LETTERS, max_size=10), action=text(LETTERS, max_size=10))
@example(glob="a*b*a", action="aba")
@example(glob="*", action="a\n:b.c")
def test_a_star_is_any_run_of_characters_and_all_else_is_itself(glob: str, action: str) -> None:
    assert _holder(f"request:{glob}").may_request(action) is _matches_by_definition(glob, action)


@given(action=text(LETTERS, min_size=1, max_size=10), data=data())
@settings(max_examples=500, deadline=None)
def test_an_action_of_which_parts_became_stars_is_matched(action: str, data: DataObject) -> None:
    # At random the two seldom fit; these always do.
    starred = "".join("*" if data.draw(booleans()) else letter for letter in action)
    assert _holder(f"request:{starred}").may_request(action)


async def test_a_token_is_full_of_permissions_and_each_of_them_counts() -> None:
    permissions = [f"request:a{number:03}*z" for number in range(650)]
    token = create_token(SECRET, sub="a", tenant_id="t", permissions=permissions, ttl_s=60)
    assert 0.9 < len(token) / 16_384 <= 1, "the longest that the schema allows"
    principal = await Authenticator(KeyRing([SECRET.public])).verify(token)
    allowed = [n for n in range(1_000) if principal.may_request(f"a{n:03}.b.z")]
    assert allowed == list(range(650))
    assert not principal.may_request("a000.b.y")


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
