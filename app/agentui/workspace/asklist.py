"""Names of what tools run or obey by themselves when the user opens, builds, tests or only enters the project.

Names are compared folded (`folding.fold_name`), so that other spellings of one name do not get past.
"""

from __future__ import annotations

import itertools
import re

from agentui.workspace.folding import fold_name
from agentui.workspace.secrecy import secret_reason

_FOLDERS: tuple[tuple[str, str], ...] = (
    (".vscode .idea .run .zed .fleet .vim .nvim .vs .settings .theia", "an editor runs what it says"),
    ("xcshareddata xcuserdata", "Xcode runs what it says"),
    (".husky .githooks .lefthook", "git hooks run it"),
    (".hg .jj .svn .bzr .sl cvs", "another version control obeys it"),
    (".devcontainer .direnv .cargo .mvn .yarn .bundle .swiftpm .nix .devenv fastlane", "a tool obeys it"),
    (".ssh .gnupg", "keys and logins are used as it says"),
    (".circleci .buildkite .gitlab .woodpecker", "the build service runs it"),
    (".claude .codex .gemini .cursor .pi .windsurf .aider .continue .roo .kiro .clinerules", "agents obey it"),
    (".opencode .amazonq .goose .agents", "agents obey it"),
)
_PAIRS: tuple[tuple[str, str], ...] = (
    (".github/workflows .github/actions .gitea/workflows .forgejo/workflows", "the build service runs it"),
    (".github/instructions .github/prompts .github/agents .github/chatmodes .github/hooks", "agents obey it"),
    (".config/fish .config/nvim .config/git", "a shell or its tools run it"),
    ("gradle/wrapper", "the build runs it"),
)
# Whole file names, as regular expressions without blanks.
_FILES: tuple[tuple[str, str], ...] = (
    (r"\.gitattributes \.gitmodules \.gitconfig", "git obeys it"),
    (r"\.hgrc \.hgsub", "another version control obeys it"),
    (
        r"\.pre-commit-(config|hooks)\.ya?ml \.?lefthook.*\.(ya?ml|toml|json)"
        r" \.(lintstaged|husky|commitlint)rc.*",
        "git hooks run it",
    ),
    (
        r"\.envrc \.tool-versions \.?mise(\..*)?\.toml \.rtx\.toml \.asdfrc \.?justfile"
        r" \.(bash|zsh|k?sh|t?csh)(rc|env) \.(bash_|z)(profile|login|logout) \.bash_aliases"
        r" \.profile \.login \.logout \.inputrc \.screenrc \.tmux\.conf"
        r" \.x(initrc|session|profile) config\.fish",
        "a shell or its tools run it",
    ),
    (
        r"\.npmrc \.yarnrc.* \.pnp\..* \.pnpmfile\.c?js \.?bunfig\.toml \.condarc pip\.conf deno\.jsonc?"
        r" package-lock\.json npm-shrinkwrap\.json composer\.json pnpm-(lock|workspace)\.yaml bun\.lockb?"
        r" (yarn|gemfile|composer|poetry|uv|pdm|cargo|pixi|deno|flake|podfile|pipfile)\.lock Package\.resolved"
        r" (requirements|constraints).*\.(txt|in) pipfile gemfile gems\.rb .*\.gemspec podfile cartfile"
        r" pixi\.toml environment\.ya?ml brewfile mix\.exs pubspec\.yaml nuget\.config rust-toolchain(\.toml)?",
        "a package manager obeys it",
    ),
    (
        r"(gnu|bsd)?makefile(\..*)? .*\.mk taskfile(.*\.ya?ml)? rakefile cmakelists\.txt .*\.cmake wscript"
        r" cmake(user)?presets\.json meson\.build meson_options\.txt sconstruct sconscript"
        r" configure(\.ac|\.in)?"
        r" build\.(rs|xml|zig) .*\.sbt pom\.xml project\.clj .*\.(cs|fs|vb)proj .*\.sln directory\.build\..*"
        r" build build\.bazel module\.bazel workspace(\.bazel)? \.bazelrc .*\.bzl \.buckconfig buck"
        r" gradlew(\.bat)? mvnw(\.cmd)? .*\.gradle(\.kts)? gradle\.properties"
        r" package(@swift-.*)?\.swift .*\.pbxproj .*\.xcscheme .*\.xcconfig fastfile dangerfile.*"
        r" .*\.(config|conf)\.[cm]?[jt]s \.(eslint|prettier|stylelint|babel|swc|mocha|nyc|postcss)rc(\..*)?"
        r" babel\.config\.json gulpfile\..* gruntfile\..* (turbo|nx|lerna|nodemon)\.json \.?goreleaser\.ya?ml",
        "the build runs it",
    ),
    (
        r"(docker|container)file(\..*)? .*\.dockerfile (docker-)?compose([.-].*)?\.ya?ml procfile tiltfile"
        r" (flake|shell|default|devenv)\.nix skaffold\.yaml earthfile vagrantfile \.(lldb|gdb)init"
        r" \.devcontainer\.json (guard|cap|berks|puppet)file \.rspec \.simplecov \.iex\.exs"
        r" phpunit\.xml(\.dist)? \.php-cs-fixer(\.dist)?\.php rector\.php phpstan\.neon(\.dist)?"
        r" \.irbrc \.pryrc \.rprofile \.ripgreprc \.curlrc \.wgetrc \.psqlrc",
        "a tool obeys it",
    ),
    (
        r"setup\.py setup\.cfg conftest\.py tox\.ini pytest\.ini \.?pytest\.toml noxfile\.py .*\.pth"
        r" \.?pylintrc \.?mypy\.ini \.flake8 \.coveragerc"
        r" (site|user)customize\.py \.pdbrc(\.py)? \.python(rc|startup)(\.py)?",
        "Python tools run it",
    ),
    (
        r".*\.code-workspace .*\.sublime-project \.projections\.json \.project \.classpath \.exrc \.[gln]?vimrc"
        r" \.(nvim|lazy)\.lua \.dir-locals(-2)?\.el \.emacs \.ycm_extra_conf\.py \.clangd",
        "an editor runs what it says",
    ),
    (
        r"\.gitlab-ci.*\.ya?ml jenkinsfile.* azure-pipelines.*\.ya?ml \.travis\.ya?ml \.drone\.ya?ml"
        r" bitbucket-pipelines\.ya?ml \.?appveyor\.ya?ml cloudbuild\.ya?ml buildspec\.ya?ml \.cirrus\.ya?ml",
        "the build service runs it",
    ),
    (
        r"\.mcp\.json (agents?|claude|gemini)(\.local|\.override)?\.md \.aider.* \.goosehints opencode\.jsonc?"
        r" copilot-instructions\.md \.(cursor|windsurf|cline)rules",
        "agents obey it",
    ),
)
_FOLDER_REASONS = {name: why for names, why in _FOLDERS for name in names.split()}
_PAIR_REASONS: dict[tuple[str, ...], str] = {
    tuple(pair.split("/")): why for pairs, why in _PAIRS for pair in pairs.split()
}
_FILE_REASONS = tuple((re.compile("|".join(names.split()), re.IGNORECASE), why) for names, why in _FILES)


def name_asks(path: bytes, is_dir: bool) -> str | None:
    """Why a change at `path` needs a yes because of a name in it, ``None`` if it does not."""
    folded = [fold_name(part) for part in path.split(b"/")]
    for part in folded:
        if part in _FOLDER_REASONS:
            return _FOLDER_REASONS[part]
    for pair in itertools.pairwise(folded):
        if pair in _PAIR_REASONS:
            return _PAIR_REASONS[pair]
    if is_dir:
        return None
    for pattern, why in _FILE_REASONS:
        if pattern.fullmatch(folded[-1]):
            return why
    secret = secret_reason(path.rpartition(b"/")[2], is_dir=False)
    return f"named like a secret ({secret})" if secret else None
