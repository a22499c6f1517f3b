"""ONNX Runtime sends nothing home and keeps nothing for that."""

import os
import subprocess
import sys
from pathlib import Path

from segline.model.package import Model

PROGRAM = """
import sys, time
from pathlib import Path
from segline.backends import open_backend
from segline.model.package import Model
open_backend("onnxruntime", Model.open(Path(sys.argv[1])), "cpu")
time.sleep(1)
"""


def test_a_session_leaves_nothing_in_the_users_folder(tiny_model: Model, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    command = [sys.executable, "-c", PROGRAM, str(tiny_model.folder)]
    subprocess.run(command, check=True, env=environment)
    assert [
        path for path in tmp_path.rglob("*") if "onnxruntime" in path.name or path.name == "deviceid"
    ] == []
