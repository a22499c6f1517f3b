"""A real Orthanc, with its DICOMweb, where Debian's packages are installed."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from ..waiting import wait_until

PLUGINS = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin") or ""
IS_HERE = bool(ORTHANC) and PLUGINS.exists()
NOT_HERE = "" if IS_HERE else "Orthanc is not installed; apt install orthanc orthanc-dicomweb"


@dataclass(frozen=True)
class Orthanc:
    """A server of its own, empty at first."""

    folder: Path
    dicom: int
    http: int

    def start(self) -> "subprocess.Popen[bytes]":
        settings = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "DicomAet": "ORTHANC",
            "DicomPort": self.dicom,
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowFind": True,
            "DicomModalities": {},
            "DicomAssociationCloseDelay": 0,
            "Plugins": [str(PLUGINS)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen([ORTHANC, str(path)], stdout=log, stderr=log)
        wait_until(lambda: self.answers() or process.poll() is not None)
        assert process.poll() is None, (self.folder / "log").read_text()
        return process

    def answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except OSError:
            return False

    def get(self, path: str) -> object:
        with urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as response:
            return json.load(response)

    def put(self, path: str, method: str, content: object) -> object:
        data = json.dumps(content).encode()
        with urlopen(Request(f"http://127.0.0.1:{self.http}{path}", data, method=method), timeout=60) as got:
            return json.loads(got.read() or b"null")

    def series_of(self, study: str, modality: str) -> list[object]:
        query = {"Level": "Series", "Query": {"Modality": modality, "StudyInstanceUID": study}}
        found = self.put("/tools/find", "POST", query)
        assert isinstance(found, list)
        return found

    @property
    def peer(self) -> str:
        return f"ORTHANC=127.0.0.1:{self.dicom}"
