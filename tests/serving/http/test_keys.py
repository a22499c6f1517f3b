from collections.abc import Iterator

import httpx
import pytest

from segline.model.package import Model

from ..server import Server

KEY = "a-key-of-a-realistic-length"


@pytest.fixture(scope="module")
def locked(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key."""
    with Server(
        tiny_model.folder, tmp_path_factory.mktemp("locked"), env={"SEGLINE_API_KEY": KEY}
    ) as running:
        yield running


def test_who_brings_no_key_is_not_answered(locked: Server, ct: bytes) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
        response = locked.post(ct, headers=headers)
        assert response.status_code == 401
        assert response.json()["error"].startswith("the key is missing or wrong")
        assert locked.get("/v1/models", headers=headers).status_code == 401


def test_who_brings_the_key_is(locked: Server, ct: bytes) -> None:
    assert locked.post(ct, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_whether_it_lives_is_told_to_all(locked: Server) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert locked.get(path).status_code == 200


def test_a_login_gives_the_key_as_a_token(locked: Server) -> None:
    assert locked.get("/auth/").json() == {"enabled": True}
    login = {"username": "anyone", "password": KEY}
    given = httpx.post(f"{locked.uri}/auth/token", data=login).json()
    headers = {"Authorization": f"{given['token_type']} {given['access_token']}"}
    assert locked.get("/info/", headers=headers).status_code == 200
    wrong = httpx.post(f"{locked.uri}/auth/token", data={**login, "password": "no"})
    assert wrong.status_code == 401


def test_the_key_is_in_no_log(locked: Server) -> None:
    assert KEY not in locked.log.read_text()
