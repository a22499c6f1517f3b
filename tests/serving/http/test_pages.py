import re

import pytest

from segline.common.errors import SeglineError
from segline.serving.viewer import page_files

from ..server import Server


def test_the_list_of_what_may_be_asked_is_whole_and_asks_nobody_else(server: Server) -> None:
    page = server.get("/docs").text
    for path in server.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
    assert set(re.findall(r"https?://[^/\"'<\s]+", page)) <= {server.uri}


def test_the_page_and_all_that_it_is_made_of_are_served(server: Server) -> None:
    try:
        files = page_files()
    except SeglineError as error:
        pytest.skip(str(error))
    for address, path in files.items():
        response = server.get(f"/{address}")
        assert response.status_code == 200 and response.content == path.read_bytes()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert server.get("/viewer/other.js").status_code == 404
    assert server.get("/viewer/..%2f__init__.py").status_code == 404
