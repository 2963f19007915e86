# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta

import pytest

from longcall_server.config import Settings, SettingsError, duration_text, load_settings

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LONGCALL_{name.upper()}", raising=False)


@pytest.mark.clause("10.31.1")
def test_every_option_has_a_default_but_the_key() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.store) == ("127.0.0.1", 8765, "sqlite")
    assert settings.lease == timedelta(seconds=30)
    assert settings.id_retention == timedelta(days=7)
    assert settings.jwt_secret is None


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGCALL_PORT", "1")
    monkeypatch.setenv("LONGCALL_HOST", "::1")
    settings = load_settings(port="2", host=None)
    assert (settings.port, settings.host) == (2, "::1")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("2s", 2000), ("1.5", 1500), ("5m", 300_000), ("24h", 86_400_000), ("0", 0)],
)
def test_durations_have_units(text: str, milliseconds: int) -> None:
    settings = load_settings(sync_window=text)
    assert settings.sync_window == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=7), "7d"),
        (timedelta(hours=24), "1d"),
        (timedelta(seconds=90), "90s"),
        (timedelta(0), "0ms"),
        (timedelta(milliseconds=1500), "1500ms"),
    ],
)
def test_a_duration_is_shown_as_it_is_written(duration: timedelta, text: str) -> None:
    assert duration_text(duration) == text


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PORT", "high", "LONGCALL_PORT: Input should be a valid integer"),
        ("PORT", "65536", "LONGCALL_PORT: Input should be less than"),
        ("STORE", "mongo", "LONGCALL_STORE: Input should be 'sqlite' or 'memory'"),
        ("LEASE", "soon", "LONGCALL_LEASE: write a duration as 500ms"),
        ("LEASE", "0", "LONGCALL_LEASE: Input should be greater than"),
        ("JWT_SECRET", "short", "LONGCALL_JWT_SECRET: a key of 32 bytes or more"),
        ("MAX_MESSAGE_BYTES", "1", "LONGCALL_MAX_MESSAGE_BYTES: "),
    ],
)
def test_a_bad_value_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"LONGCALL_{name}", value)
    with pytest.raises(SettingsError, match=reason) as caught:
        load_settings()
    assert "short" not in str(caught.value)


def test_a_list_is_written_with_spaces_or_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGCALL_ALLOWED_ORIGINS", "https://A.example.com:443, null")
    monkeypatch.setenv("LONGCALL_TRUSTED_PROXIES", "10.0.0.0/8 ::1")
    settings = load_settings(allowed_hosts="api.example.com,*.example.com 2001:db8::1 [::2]")
    assert settings.allowed_origins == ("https://a.example.com", "null")
    assert settings.allowed_hosts == ("api.example.com", "*.example.com", "2001:db8::1", "::2")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("allowed_origins", "app.example.com", "'app.example.com' is no origin: write https://"),
        ("allowed_origins", "https://app.example.com/", "is no origin"),
        ("allowed_hosts", "https://api.example.com", "is no host"),
        ("allowed_hosts", "api.example.com:80", "is no host"),
        ("allowed_hosts", "a.*.example.com", "is no host"),
        ("trusted_proxies", "proxy.example.com", "does not appear to be an IPv4 or IPv6 network"),
        ("trusted_proxies", "10.0.0.1/8", "has host bits set"),
        ("allow_query_token", "maybe", "valid boolean"),
        ("jwt_permissions", "request:* admin", "is for operators"),
    ],
)
def test_a_bad_member_of_a_list_is_named(name: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')}: .*{reason}"):
        load_settings(**{name: value})


def test_a_bad_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match="--send-buffer-bytes: "):
        load_settings(send_buffer_bytes="-1")


def test_the_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGCALL_JWT_SECRET", SECRET)
    settings = load_settings()
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings)
