"""--login, --replay and --forge as a user gives them: said, confirmed, and without a secret."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.safety.tool import Ran, run
from tests.scenarios.frame.authority import SECRET, USER, Authority, create_app
from tests.servers.web import WebServer

from backend_doctor.reports import FORMATS

PASSWORD = "cnrOneAlfa:cnrTwoBrav"
ALL = ("--login", "--replay", "--yes-replay", "--forge")


@dataclass
class Place:
    """A configuration file for a running authority."""

    authority: Authority
    server: WebServer
    file: Path

    def check(self, *options: str) -> Ran:
        """One run, which shows no token and no password."""
        ran = run("check", "--config", str(self.file), "--window", "0", *options)
        self.assert_kept(ran.out + ran.err)
        return ran

    def assert_kept(self, text: str) -> None:
        """No secret in a text, whole or in part."""
        sample = (self.file.parent / "token.jwt").read_text()
        issued = [one for token in (sample, *self.authority.granted) for one in token.split(".")]
        for secret in (*PASSWORD.split(":"), SECRET, *(one[-24:] for one in issued[1:])):
            assert secret not in text, f"{secret} in:\n{text}"

    @property
    def posts(self) -> int:
        """How many POSTs the server saw."""
        return sum(method == "POST" for method, _, _ in self.server.requests)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    authority = Authority({"password": PASSWORD, "algorithm": "HS256"})
    (tmp_path / "token.jwt").write_text(authority.signed())
    with WebServer(create_app(authority)) as server:
        file = tmp_path / "shop.yaml"
        file.write_text(
            f"services: {{shop: {{http: '{server.url}', token: {{sample: file:token.jwt, "
            f"secret: '{SECRET}', protected: /me, login: '{server.url}/token', grace: 0, "
            f"refresh: '{server.url}/refresh', username: {USER}, password: '{PASSWORD}'}}}}}}\n"
        )
        yield Place(authority, server, file)


def test_by_default_nothing_is_posted(place: Place) -> None:
    assert place.check("-vv").code == 0
    assert {method for method, _, _ in place.server.requests} <= {"GET", "HEAD", "OPTIONS"}


def test_all_of_them_show_no_secret_in_any_format(place: Place) -> None:
    files = {format: place.file.parent / f"{format}.prom" for format in FORMATS}
    outputs = [word for format, path in files.items() for word in ("-o", f"{format}={path}")]
    ran = place.check("-vv", *ALL, *outputs)
    assert ran.code == 2, "the authority forgives no reuse"
    assert "token.refresh_race" in ran.out
    assert [ran.err.count(f"--{name}: ") for name in ("login", "replay", "forge")] == [1, 1, 1]
    for path in files.values():
        place.assert_kept(path.read_text())
    place.assert_kept(run("config", "show", "--config", str(place.file)).out)


def test_a_replay_is_confirmed_or_nothing_is_asked(place: Place) -> None:
    ran = place.check("--replay")
    assert ran.code == 3
    assert "--yes-replay" in ran.err
    assert place.server.requests == []


def test_what_is_not_declared_is_one_message(place: Place) -> None:
    place.file.write_text("services: {shop: {token: {sample: file:token.jwt}}}\n")
    for option, missing in (("--login", "username"), ("--forge", "protected")):
        ran = place.check(option)
        assert ran.code == 3
        assert missing in ran.err
        assert "Traceback" not in ran.err


def test_a_snapshot_is_not_tried(place: Place) -> None:
    ran = run("check", "--from", "some.json", "--forge")
    assert (ran.code, "leave --forge out" in ran.err) == (3, True)
