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
    "LM Studio token": "sk-lm-" + "a1B2c3D4:" + "e5F6" * 5,
    "API key": "sk-" + "proj-0123456789abcdef",
    "web token": "eyJ" + "hbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
    "Stripe key": "sk_live_" + "a1B2" * 6,
    "Google key": "AIza" + "b" * 35,
    "npm token": "npm_" + "c3D4" * 9,
    "PyPI token": "pypi-" + "AgEI" * 12,
}
MORE = [
    ("private key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQ\n-----END PGP PRIVATE KEY BLOCK-----"),
    ("private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz, and its end is missing"),
    ("GitHub token", "github_pat_" + "1A" * 20),
    ("API key", "sk-" + "ant-api03-0123456789abcdef"),
    ("Google key", "ya29." + "x" * 40),
    ("Slack token", "hooks.slack.com/services/" + "T000/B000/" + "x" * 24),
    ("service token", "SG." + "a" * 22 + "." + "b" * 43),
    ("service token", "123456789:AA" + "c" * 33),
    ("service token", "gsk_" + "d1" * 26),
    ("service token", "xai-" + "e2" * 40),
    ("service token", "dckr_pat_" + "f3" * 15),
    ("service token", "hvs." + "g" * 24),
    ("service token", "dop_v1_" + "0a" * 32),
]


@pytest.mark.parametrize(("kind", "secret"), [*SECRETS.items(), *MORE])
def test_a_key_of_a_known_form_is_taken_out_and_counted(kind: str, secret: str) -> None:
    redactor = Redactor()
    shown = redactor.text(f"before {secret} after")
    assert secret not in shown
    assert shown.startswith("before ")
    assert shown.endswith("]") if "end is missing" in secret else shown.endswith(" after")
    assert redactor.counts[kind] == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DB_PASSWORD=hunter22", "DB_PASSWORD=[redacted: value]"),
        ('"api_key": "abcdef123"', '"api_key": "[redacted: value]"'),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer [redacted: credentials]"),
        ("postgres://me:hunter2@db/x", "postgres://me:[redacted]@db/x"),
        ("postgres://me:p@ss@db/x", "postgres://me:[redacted]@db/x"),
        ("https://0123456789abcdef0123@git.example/x", "https://[redacted]@git.example/x"),
        ("SECRET_KEY = 'django-insecure-#@! x'", "SECRET_KEY = '[redacted: value]'"),
        ("SECRET_KEY_BASE=0123456789", "SECRET_KEY_BASE=[redacted: value]"),
        ("export DB_PASS=hunter22", "export DB_PASS=[redacted: value]"),
        (r"{\"password\": \"a, b; c\"}", r"{\"password\": \"[redacted: value]\"}"),
        ("?api_key=abcdef123&next=1", "?api_key=[redacted: value]&next=1"),
        ("AccountKey=abcdefgh==;Suffix=x", "AccountKey=[redacted: value];Suffix=x"),
        ("x --password hunter22 --token=abcdef9", "x --password [redacted: value] --token=[redacted: value]"),
        ("curl -s -u ann:hunter22 https://x", "curl -s -u ann:[redacted: value] https://x"),
        ("login ann password hunter22", "login ann password [redacted: value]"),
        ("Authorization: token abcdefghij", "Authorization: token [redacted: credentials]"),
        ("Set-Cookie: session=abcdef; Path=/", "Set-Cookie: [redacted: credentials]"),
        (r'"{\\"password\\": \\"hunter22\\"}"', r'"{\\"password\\": \\"[redacted: value]\\"}"'),
        ("<db.password>hunter22</db.password>", "<db.password>[redacted: value]</db.password>"),
        ("a%26password%3Dhunter22%26b", "a%26password%3D[redacted: value]%26b"),
        (r"password=a%40b\c%zz&x", "password=[redacted: value]&x"),
        (r"{\"token\": \"x\", password=hunter22\n", r"{\"token\": \"x\", password=[redacted: value]\n"),
        ("Server=h;Uid=ann;Pwd=hunter22;", "Server=h;Uid=ann;Pwd=[redacted: value];"),
        ("setx API_KEY hunter22 /m", "setx API_KEY [redacted: value] /m"),
        ("mysql -uroot -phunter22 shop", "mysql -uroot -p[redacted: value] shop"),
        ("docker login -u ann -p hunter22", "docker login -u ann -p [redacted: value]"),
        ('"auth": "YW5uOmh1bnRlcjIy"', '"auth": "[redacted: credentials]"'),
        ("Bearer%20abcdefghijklmnop", "Bearer%20[redacted: credentials]"),
        ("https%3A%2F%2Fann%3Ahunter22%40h", "https%3A%2F%2Fann%3A[redacted]%40h"),
        ("root:$6$abcdefgh$ijklmnop:1", "root:[redacted: password hash]:1"),
        ('"pass": "hunter22"', '"pass": "[redacted: value]"'),
        ('<add key="ApiKey" value="hunter22"/>', '<add key="ApiKey" value="[redacted: value]"/>'),
        ("ENV DB_PASSWORD hunter22", "ENV DB_PASSWORD [redacted: value]"),
        ("openssl enc -pass pass:hunter22", "openssl enc -pass pass:[redacted: value]"),
        ("gpg --passphrase hunter22 x", "gpg --passphrase [redacted: value] x"),
        ("htpasswd -bc f ann hunter22", "htpasswd -bc f ann [redacted: value]"),
        ("_auth=aHVudGVyMjI=", "_auth=[redacted: value]"),
        ("WIFI_PSK=hunter22", "WIFI_PSK=[redacted: value]"),
        ("Subscription-Key: 0123456789", "Subscription-Key: [redacted: value]"),
        ("DB_PASSWORD=password", "DB_PASSWORD=[redacted: value]"),
        ("basic YW5uOmh1bnRlcjIy", "basic [redacted: credentials]"),
        ("?sv=1&sig=abcdefghijklmnop%3D&x=1", "?sv=1&sig=[redacted: signature]&x=1"),
    ],
)
def test_values_named_as_secrets_go(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "the token count: 12",
        "password: ",
        "max_tokens: 4096000",
        "token = next(tokens)",
        "token: Optional[str] = None",
        'token = request.headers.get("x")',
        "password = settings.database.password",
        'password = os.environ["DB"]',
        "TOKEN=$OTHER_TOKEN; TOKEN=$(cat file)",
        "def check_password(password: str) -> bool:",
        "PWD=/srv/shop",
        "pwd = os.getcwd()",
        "set -euo pipefail",
        "set token",
        "git+ssh://git@example.org/x http://localhost:8080/x",
        "a basic understanding of bearer authentication",
        "connect(user=user, password=password)",
        "api_key: Option<String>,",
        "Unexpected token: expected comma",
        'credentials: "same-origin"',
        """pad_token="<pad>" eos_token: '</s>' "mask_token": "[MASK]" eot_token = "<|eot_id|>\"""",
    ],
)
def test_code_and_plain_words_stay_and_count_for_nothing(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == text
    assert not redactor.counts


def test_home_paths_become_a_tilde_also_those_of_others() -> None:
    redactor = Redactor("/data/people/ann")
    text = "/data/people/ann/shop /data/people/anna /Users/bob/x '/home/carl' /root/.ssh /rooted"
    assert redactor.text(text) == "~/shop /data/people/anna ~/x '~' ~/.ssh /rooted"
    assert redactor.counts == {"home path": 4}
    assert redactor.text(r"C:\Users\Bob\x file:///home/bob/x") == r"~\x file://~/x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"c:\users\ann\x C:/Users/Ann/x \\srv\Users\Ann\x", r"~\x ~/x ~\x"),
        ("/mnt/c/Users/Ann/x /System/Volumes/Data/Users/ann", "/mnt/c~/x /System/Volumes/Data~"),
        (r'"C:\\Users\\Ann\\x" "\"C:\\\\Users\\\\Ann\\\\x\""', r'"~\\x" "\"~\\\\x\""'),
        (r'"\/home\/ann\/x" \"/Users/ann\"', r'"~\/x" \"~\"'),
        ("%2Fhome%2Fann%2Fx C%3A%5CUsers%5CAnn%5Cx", "~%2Fx ~%5Cx"),
        ("(/home/ann) `/Users/ann/x` /home/ann,/home/bob", "(~) `~/x` ~,~"),
        ("~/.x/-data-people-ann-shop -data-people-anna", "~/.x/~-shop -data-people-anna"),
        ("%2Fdata%2Fpeople%2Fann%2Fx", "~%2Fx"),
    ],
)
def test_homes_go_in_the_forms_of_other_systems_of_json_and_of_urls(text: str, shown: str) -> None:
    assert Redactor("/data/people/ann").text(text) == shown


@pytest.mark.parametrize(
    "text", ["GET /users/42/posts", r"App\Users\Model", "/var/www/root/index.html", "/homes/ann", "/rooted"]
)
def test_what_only_looks_like_a_home_stays(text: str) -> None:
    assert Redactor("/data/people/ann").text(text) == text


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
