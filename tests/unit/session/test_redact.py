from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.session.redact import Redactor

# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "x" * 20,
    "Slack token": "xoxb-" + "1234567890-abc",
    "AWS key": "AKIA" + "ABCDEFGH12345678",
    "Hugging Face token": "hf_" + "Q" * 30,
    "API key": "sk-" + "proj-0123456789abcdef",
    "web token": "eyJ" + "hbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items())
def test_a_key_of_a_known_form_is_taken_out_and_counted(kind: str, secret: str) -> None:
    redactor = Redactor()
    shown = redactor.text(f"before {secret} after")
    assert secret not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert redactor.counts[kind] == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DB_PASSWORD=hunter22", "DB_PASSWORD=[redacted: value]"),
        ('"api_key": "abcdef123"', '"api_key": "[redacted: value]"'),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer [redacted: credentials]"),
        ("postgres://me:hunter2@db/x", "postgres://me:[redacted]@db/x"),
        ("the token count: 12", "the token count: 12"),
        ("password: ", "password: "),
    ],
)
def test_values_named_as_secrets_go_and_plain_words_stay(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


def test_home_paths_become_a_tilde_also_those_of_others() -> None:
    redactor = Redactor("/data/people/ann")
    text = "/data/people/ann/shop /data/people/anna /Users/bob/x '/home/carl' /root/.ssh /rooted"
    assert redactor.text(text) == "~/shop /data/people/anna ~/x '~' ~/.ssh /rooted"
    assert redactor.counts == {"home path": 4}


def test_the_configured_key_goes_wherever_it_stands() -> None:
    redactor = Redactor(secrets=("my.odd.key",))
    assert "my.odd.key" not in redactor.text("x=my.odd.key,my.odd.key")
    assert redactor.counts["configured key"] == 2


def test_every_text_of_a_value_is_looked_at_keys_too() -> None:
    secret = SECRETS["API key"]
    found = Redactor().value({"a": [secret, {"b": (secret, 1, None)}], secret: True})
    assert secret not in str(found)


@given(st.text())
def test_what_was_redacted_once_is_not_redacted_again(text: str) -> None:
    once = Redactor("/home/x").text(text)
    assert Redactor("/home/x").text(once) == once
