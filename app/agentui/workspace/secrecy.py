"""Files that are never copied for an agent to read, by name: keys, tokens, passwords."""

from __future__ import annotations

import fnmatch
import re

SECRET_FILES: tuple[tuple[str, str], ...] = (
    (".env", "environment with secrets"),
    (".env.*", "environment with secrets"),
    ("*.env", "environment with secrets"),
    (".envrc.local", "environment with secrets"),
    ("id_rsa*", "private key"),
    ("id_dsa*", "private key"),
    ("id_ecdsa*", "private key"),
    ("id_ed25519*", "private key"),
    ("*.pem", "private key or certificate"),
    ("*.key", "private key"),
    ("*.p12", "key store"),
    ("*.pfx", "key store"),
    ("*.jks", "key store"),
    ("*.keystore", "key store"),
    ("*.ppk", "private key"),
    ("*.kdbx", "password store"),
    ("*.p8", "private key"),
    (".netrc", "passwords"),
    ("_netrc", "passwords"),
    (".pgpass", "passwords"),
    (".my.cnf", "passwords"),
    (".htpasswd", "passwords"),
    (".git-credentials", "passwords"),
    (".pypirc", "upload tokens"),
    (".dockercfg", "registry tokens"),
    (".terraformrc", "tokens"),
    ("credentials", "credentials"),
    ("credentials.*", "credentials"),
    ("*-credentials.json", "credentials"),
    ("*_credentials.json", "credentials"),
    ("client_secret*.json", "credentials"),
    ("service-account*.json", "credentials"),
    ("service_account*.json", "credentials"),
    ("secrets.yml", "secrets"),
    ("secrets.yaml", "secrets"),
    ("secrets.json", "secrets"),
    ("secrets.toml", "secrets"),
    ("*.tfstate", "infrastructure state with secrets"),
    ("*.tfstate.*", "infrastructure state with secrets"),
    ("terraform.tfvars", "secrets"),
    ("*.auto.tfvars", "secrets"),
    (".vault-token", "token"),
    (".vault_pass*", "passwords"),
    ("kubeconfig", "cluster keys"),
)
"""Name patterns (case does not count) and the reason in words."""

SECRET_FOLDERS: dict[str, str] = {
    ".ssh": "keys",
    ".gnupg": "keys",
    ".aws": "credentials",
    ".azure": "credentials",
    ".gcloud": "credentials",
    ".kube": "cluster keys",
    ".docker": "registry tokens",
    ".password-store": "passwords",
}
"""Folders that hold nothing else."""

# Examples carry the names of the settings, not their values; agents need them to know what exists.
_EXAMPLE_ENDINGS = (".example", ".sample", ".template", ".dist", ".defaults", ".pub")
# Source files may be named after what they handle; their content is code.
_CODE_ENDINGS = (
    *(".py", ".js", ".ts", ".tsx", ".jsx", ".go", ".rs", ".rb", ".java", ".kt"),
    *(".swift", ".c", ".h", ".cpp", ".md"),
)

_SECRET_FILE = tuple((re.compile(fnmatch.translate(name)), why) for name, why in SECRET_FILES)
# One look at all of them: nearly every file of a project is no secret.
_ANY_SECRET = re.compile("|".join(f"(?:{fnmatch.translate(name)})" for name, _ in SECRET_FILES))
# A bare user name is none: ``ssh://git@host``.
_URL_PASSWORD = re.compile(rb"https?://[^/\s@]+@|://[^/\s@:]+:[^/\s@]+@", re.IGNORECASE)
_EXTRA_HEADER = re.compile(rb"(?:^|\])[ \t]*extraheader[ \t]*=", re.IGNORECASE | re.MULTILINE)


def secret_reason(name: bytes, is_dir: bool) -> str | None:
    """Why a file or folder of this name is kept from the agent, ``None`` if it is not."""
    text = name.decode("utf-8", "surrogateescape").casefold()
    if is_dir:
        return SECRET_FOLDERS.get(text)
    if text.endswith(_EXAMPLE_ENDINGS) or (text.endswith(_CODE_ENDINGS) and not text.startswith(".env")):
        return None
    if _ANY_SECRET.match(text) is None:
        return None
    return next((why for pattern, why in _SECRET_FILE if pattern.fullmatch(text)), None)


def git_config_has_secret(content: bytes) -> bool:
    """Whether a repository's ``config`` holds a password in an address, or a header with a token."""
    return _URL_PASSWORD.search(content) is not None or _EXTRA_HEADER.search(content) is not None
