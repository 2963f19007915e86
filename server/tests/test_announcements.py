# SPDX-License-Identifier: Apache-2.0
"""What an operator may announce, and how it is written."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_harness import limits, principal

from longcall_server.announcements import Announcer
from longcall_server.answers import Refused
from longcall_server.bus.base import MAX_ANNOUNCEMENT_BYTES, Announcement, Audience
from longcall_server.bus.local import LocalBus
from longcall_server.core.messages import AnnouncementMessage, ErrorInfo, Limits
from longcall_server.stores.base import Owner

NOW = 1_700_000_000_123
ADMIN = principal("root", "admin")
ALL = {"all": True}


class Desk:
    """An announcer, and what it has said."""

    def __init__(self, bounds: Limits | None = None) -> None:
        self.said: list[Announcement] = []
        bus = LocalBus()
        bus.watch_announcements(self.said.append)
        self.announcer = Announcer(bus, lambda: NOW, bounds or limits())

    def announce(self, body: Any, who: Any = ADMIN) -> AnnouncementMessage | Refused:
        text = body if isinstance(body, str) else json.dumps(body)
        return self.announcer.announce(who, text)

    def refused(self, body: Any, who: Any = ADMIN) -> ErrorInfo:
        found = self.announce(body, who)
        assert isinstance(found, Refused), found
        assert self.said == []
        return found.error


@pytest.mark.clause("8.10.1")
@pytest.mark.parametrize(
    ("to", "audience"),
    [
        (ALL, Audience()),
        ({"tenant_id": "acme"}, Audience("acme")),
        ({"tenant_id": "acme", "sub": "ann"}, Audience("acme", "ann")),
        ({"connection_id": "c-1"}, Audience(connection_id="c-1")),
    ],
)
def test_an_operator_says_who_hears_it(to: Any, audience: Audience) -> None:
    desk = Desk()
    sent = desk.announce({"message": "hello", "to": to})
    assert isinstance(sent, AnnouncementMessage)
    (said,) = desk.said
    assert said == Announcement(sent.model_dump_json(), audience)
    assert json.loads(said.frame) == {
        "type": "announcement",
        "message": "hello",
        "created_at": "2023-11-14T22:13:20.123Z",
    }


@pytest.mark.clause("2.3.14", "8.10.1")
@pytest.mark.parametrize("details", [None, False, 0, "", [], {}, {"a": [1, -0.5, 1e-7, "é\n"]}])
def test_details_are_any_value_and_stay_it(details: Any) -> None:
    desk = Desk()
    desk.announce({"message": "m", "to": ALL, "details": details})
    assert json.loads(desk.said[0].frame)["details"] == details


def test_what_is_not_known_beside_them_is_ignored() -> None:
    desk = Desk()
    desk.announce({"message": "m", "to": ALL, "urgency": 9})
    assert "urgency" not in desk.said[0].frame


@pytest.mark.clause("3.5.7", "3.5.8")
@pytest.mark.parametrize(
    "permissions",
    [
        ("nothing",),
        ("request:*", "requests:read:tenant"),
        ("Admin", "admin:*", "*", "request:admin"),
    ],
)
def test_nobody_but_an_operator_may(permissions: tuple[str, ...]) -> None:
    # Nor is anybody else told what is wrong with what he sent.
    for body in ({"message": "m", "to": ALL}, "{"):
        assert Desk().refused(body, principal("ann", *permissions)).code == "FORBIDDEN"


@pytest.mark.clause("8.10.3")
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"to": ALL}, "/message"),
        ({"message": "", "to": ALL}, "/message"),
        ({"message": None, "to": ALL}, "/message"),
        ({"message": 7, "to": ALL}, "/message"),
        ({"message": "m"}, "/to"),
        ({"message": "m", "to": None}, "/to"),
        ({"message": "m", "to": "all"}, "/to"),
        ({"message": "m", "to": []}, "/to"),
        ({"message": "m", "to": {}}, "/to"),
        ({"message": "m", "to": {"all": False}}, "/to"),
        ({"message": "m", "to": {"all": 1}}, "/to/all"),
        ({"message": "m", "to": {"all": True, "tenant_id": "acme"}}, "/to"),
        ({"message": "m", "to": {"tenant_id": "acme", "connection_id": "c"}}, "/to"),
        ({"message": "m", "to": {"sub": "ann"}}, "/to"),
        ({"message": "m", "to": {"connection_id": "c", "sub": "ann"}}, "/to"),
        ({"message": "m", "to": {"all": True, "sub": "ann"}}, "/to"),
        ({"message": "m", "to": {"tenant_id": "acme", "subb": "ann"}}, "/to/subb"),
        ({"message": "m", "to": {"tenant_id": ""}}, "/to/tenant_id"),
        ({"message": "m", "to": {"tenant_id": None}}, "/to/tenant_id"),
        ({"message": "m", "to": {"tenant_id": ["acme"]}}, "/to/tenant_id"),
        ({"message": "m", "to": {"tenant_id": "acme", "sub": None}}, "/to/sub"),
        ({"message": "m", "to": {"tenant_id": "t" * 257}}, "/to/tenant_id"),
        ('{"message":"m","to":{"all":true},"details":[1,9007199254740993]}', "/details/1"),
        ('{"message":"m","to":{"all":true},"details":{"a":1e400}}', "/details/a"),
        ('{"message":"\\ud800","to":{"all":true}}', "/message"),
        (
            '{"message":"m","to":{"all":true},"details":' + "[" * 70 + "]" * 70 + "}",
            "/details" + "/0" * 63,
        ),
    ],
)
def test_a_bad_field_is_named(body: Any, pointer: str) -> None:
    error = Desk().refused(body)
    assert error.code == "VALIDATION_ERROR"
    assert error.details == {"pointer": pointer}


@pytest.mark.parametrize(
    "body", ["", "{", "nonsense", '{"message":NaN}', "[" * 100_000, "\ufeff{}"]
)
def test_what_is_not_json_is_refused(body: str) -> None:
    assert Desk().refused(body).code == "VALIDATION_ERROR"


@pytest.mark.parametrize("body", ["null", "[]", '"word"', "7"])
def test_what_is_no_object_is_refused_as_a_whole(body: str) -> None:
    error = Desk().refused(body)
    assert (error.code, error.details) == ("VALIDATION_ERROR", {"pointer": ""})


@pytest.mark.clause("8.10.5")
@pytest.mark.parametrize(
    ("bounds", "limit"),
    [(limits(), MAX_ANNOUNCEMENT_BYTES), (limits(max_message_bytes=4096), 4096)],
)
def test_the_longest_is_taken_and_a_byte_more_is_refused(bounds: Limits, limit: int) -> None:
    desk = Desk(bounds)
    desk.announce({"message": "m", "to": ALL})
    room = limit - len(desk.said.pop().frame.encode()) + 1
    message = "é" * (room // 2) + "x" * (room % 2)
    desk.announce({"message": message, "to": ALL})
    assert len(desk.said.pop().frame.encode()) == limit
    error = desk.refused({"message": message + "x", "to": ALL})
    assert error.code == "PAYLOAD_TOO_LARGE"
    assert error.details == {"limit": limit, "size": limit + 1}


def test_who_announced_to_whom_is_logged_on_one_line_and_what_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    Desk().announce({"message": "a secret", "to": {"tenant_id": "a\nb"}, "details": "a secret"})
    (line,) = [record.getMessage() for record in caplog.records]
    assert ADMIN.principal_id in line
    assert r"'a\nb'" in line
    assert "\n" not in line
    assert "secret" not in line


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just("acme"),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "to", "details", "all", "tenant_id", "sub", "x"]), values
        )
    ),
    max_leaves=12,
)
BODY = st.fixed_dictionaries({}, optional={"message": JSON, "to": JSON, "details": JSON})
GOOD = st.fixed_dictionaries(
    {
        "message": st.text(min_size=1),
        "to": st.sampled_from([ALL, {"tenant_id": "acme"}, {"tenant_id": "acme", "sub": "ann"}]),
    },
    optional={"details": JSON},
)


@given(body=st.text() | (JSON | BODY | GOOD).map(json.dumps))
@settings(max_examples=500, deadline=None)
def test_whatever_is_sent_is_announced_as_a_message_or_refused(body: str) -> None:
    desk = Desk()
    found = desk.announce(body)
    if isinstance(found, Refused):
        assert found.error.code in ("VALIDATION_ERROR", "PAYLOAD_TOO_LARGE")
        assert desk.said == []
    else:
        (said,) = desk.said
        assert AnnouncementMessage.model_validate_json(said.frame) == found
        assert found.message == json.loads(body)["message"]


def test_an_audience_is_whom_everything_in_it_fits() -> None:
    ann, bob, eve = Owner("acme", "ann"), Owner("acme", "bob"), Owner("evil", "ann")
    connections = [("c-1", ann), ("c-2", ann), ("c-3", bob), ("c-4", eve)]

    def heard(audience: Audience) -> list[str]:
        return [id for id, owner in connections if (id, owner) in audience]

    assert heard(Audience()) == ["c-1", "c-2", "c-3", "c-4"]
    assert heard(Audience("acme")) == ["c-1", "c-2", "c-3"]
    assert heard(Audience("acme", "ann")) == ["c-1", "c-2"]
    assert heard(Audience("evil", "bob")) == []
    assert heard(Audience(connection_id="c-2")) == ["c-2"]
