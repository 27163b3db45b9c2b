from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agentui import paths


def test_linux_follows_the_xdg_defaults() -> None:
    found = paths.places({"HOME": "/home/ada"}, "linux")
    assert found.config == Path("/home/ada/.config/agentui")
    assert found.state == Path("/home/ada/.local/state/agentui")
    assert found.cache == Path("/home/ada/.cache/agentui")
    assert found.sessions == Path("/home/ada/.local/state/agentui/sessions")


def test_xdg_variables_count_and_relative_ones_do_not() -> None:
    env = {"HOME": "/home/ada", "XDG_CONFIG_HOME": "/etc/ada", "XDG_STATE_HOME": "relative"}
    for platform in ("linux", "darwin"):
        found = paths.places(env, platform)
        assert found.config == Path("/etc/ada/agentui")
        assert found.state.is_relative_to("/home/ada")


def test_mac_uses_its_library_unless_dotfiles_are_kept(own_place: Path) -> None:
    env = {"HOME": str(own_place)}
    library = own_place / "Library" / "Application Support" / "agentui"
    assert paths.places(env, "darwin").config == library
    (own_place / ".config" / "agentui").mkdir(parents=True)
    found = paths.places(env, "darwin")
    assert found.config == own_place / ".config" / "agentui"
    assert found.state == library
    assert found.cache == own_place / "Library" / "Caches" / "agentui"


def test_agentui_home_moves_everything() -> None:
    env = {"HOME": "/home/ada", "AGENTUI_HOME": "/tmp/x", "XDG_STATE_HOME": "/elsewhere"}
    found = paths.places(env, "linux")
    for place in (
        found.config_file,
        found.trust_file,
        found.sessions,
        found.cache,
        found.workspace(Path("/p")),
    ):
        assert place.is_relative_to("/tmp/x")
    assert found.home == Path("/home/ada")


def test_asking_for_places_creates_nothing(own_place: Path) -> None:
    found = paths.places()
    assert found.state.is_relative_to(own_place)
    assert not found.state.exists()


def test_private_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        deep = paths.private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert stat.S_IMODE(deep.stat().st_mode) == 0o700
    assert stat.S_IMODE(deep.parent.stat().st_mode) == 0o700
    deep.chmod(0o755)
    paths.private_folder(deep)
    assert stat.S_IMODE(deep.stat().st_mode) == 0o700


def test_project_keys_differ_for_same_names_and_agree_for_links(tmp_path: Path) -> None:
    one, two = tmp_path / "1" / "shop", tmp_path / "2" / "shop"
    one.mkdir(parents=True)
    two.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(one)
    assert paths.project_key(one) != paths.project_key(two)
    assert paths.project_key(one) == paths.project_key(link)
    assert paths.project_key(one).startswith("shop-")


@pytest.mark.parametrize("name", ["..", "a b/ü", "x" * 300, "-rf", ".hidden"])
def test_project_keys_are_plain_file_names(name: str) -> None:
    key = paths.project_key(Path("/") / name)
    assert "/" not in key
    assert not key.startswith((".", "-"))
    assert len(key) < 80


def test_lmstudio_home_follows_pointer_then_old_place_then_default(own_place: Path) -> None:
    assert paths.lmstudio_home(own_place) == own_place / ".lmstudio"
    (own_place / ".cache" / "lm-studio").mkdir(parents=True)
    assert paths.lmstudio_home(own_place) == own_place / ".cache" / "lm-studio"
    (own_place / ".lmstudio-home-pointer").write_text("/volumes/big/lms\n")
    assert paths.lmstudio_home(own_place) == Path("/volumes/big/lms")
    assert paths.lmstudio_server_config(own_place).name == "http-server-config.json"


def test_styles_are_found_in_a_checkout() -> None:
    assert paths.STYLES.name == "styles"
    assert paths.STYLES.parent in (paths.PACKAGE, paths.PACKAGE.parents[1])
