"""DICOMweb: the images of a series by its UID, from where a viewer has them, too."""

from pathlib import Path
from typing import Any

from segline.common.errors import SeglineError, imports_of

_AS_STORED = (("application/dicom", "*"),)
"""Compressed images stay so: servers differ in what they can unpack."""


class DicomWeb:
    """A server that speaks QIDO-RS and WADO-RS, such as Orthanc's ``http://HOST:8042/dicom-web``."""

    def __init__(self, url: str) -> None:
        with imports_of("serve", "DICOMweb"):
            from dicomweb_client import DICOMwebClient
        self._client: Any = DICOMwebClient(url)
        self._client.set_http_retry_params(retry=False)

    def fetch(self, series: str, folder: Path) -> Path:
        """Write the images of a series into a new folder in ``folder``.

        Raises:
            SeglineError: the server does not answer, or has no such series.
        """
        place = folder / "series"
        place.mkdir()
        try:
            found = self._client.search_for_series(search_filters={"SeriesInstanceUID": series})
            if not found:
                raise SeglineError("the DICOMweb server has no such series; give the UID of one that it has")
            study = found[0]["0020000D"]["Value"][0]
            for number, image in enumerate(self._client.iter_series(study, series, media_types=_AS_STORED)):
                image.save_as(place / f"{number:05d}.dcm", enforce_file_format=True)
        except SeglineError:
            raise
        except Exception as error:  # requests, its HTTP errors and pydicom's have no one class
            reason = str(error).partition("\n")[0].partition(" for url")[0]
            told = f"the DICOMweb server does not give the series ({reason}); ask again"
            raise SeglineError(told) from error
        return place
