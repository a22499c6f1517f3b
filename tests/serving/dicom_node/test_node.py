"""The node among neighbours of pynetdicom's: each series is answered once, and nothing is lost."""

import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pydicom
import pytest

from segline.common.errors import SeglineError
from segline.imaging.dicom.segmentation import file_bytes
from segline.imaging.dicom.sources import Source
from segline.model.package import Model
from segline.serving.dicom_node.answering import answerer
from segline.serving.dicom_node.node import Answerer
from segline.serving.dicom_node.peers import Peers
from segline.serving.dicom_node.spool import OUTBOX, PREDICTING, SET_ASIDE, Spool
from segline.serving.models.served import Served

from ...conftest import small_plan
from ...imaging.dicom.read_back import read_back
from ...imaging.dicom.written import numbered, write_series
from ...waiting import wait_until
from .neighbours import Archive, association, left_in, running, send

LABELS = {1: "spleen"}


@pytest.fixture(scope="session")
def answer(tiny_model: Model) -> Answerer:
    return answerer(Served(tiny_model, "tiny/1", "onnxruntime", "cpu"), with_report=True)


@pytest.fixture
def other(tmp_path: Path) -> list[Path]:
    """Slices of another series."""
    return sorted(write_series(tmp_path / "other", numbered(6), SeriesInstanceUID="1.2.3.4.5").iterdir())


def instant(images: Path, folder: Path) -> None:
    """Answers with one of the images: where what is answered does not matter."""
    shutil.copyfile(sorted(images.glob("*.dcm"))[0], folder / "answer.dcm")


def test_a_series_is_answered_with_the_mask_that_predict_gives(
    answer: Answerer,
    series: Path,
    slices: list[Path],
    mask: np.ndarray,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with Archive() as archive, running(answer, tmp_path, [archive.peer]) as port:
        with association(port) as opened:
            assert opened.send_c_echo().Status == 0
        assert set(send(slices, port)) == {0}
        wait_until(lambda: len(archive.kept) == 2 and not left_in(tmp_path))
    segments, report = sorted(archive.kept, key=lambda dataset: dataset.Modality, reverse=False)
    assert (segments.Modality, report.Modality) == ("SEG", "SR")
    np.testing.assert_array_equal(read_back(file_bytes(segments), Source.at(series), LABELS), mask)
    assert segments.PatientName == "Doe^Jane"
    told = "\n".join(record.getMessage() for record in caplog.records if "segline" in record.name)
    assert "answer sent to PACS" in told
    uids = [str(segments.StudyInstanceUID), str(pydicom.dcmread(slices[0]).SeriesInstanceUID)]
    assert not [word for word in ("Doe", "Jane", "4711", *uids) if word in told]


def test_answers_go_to_a_named_peer(answer: Answerer, slices: list[Path], tmp_path: Path) -> None:
    with (
        Archive("ARCHIVE") as archive,
        running(answer, tmp_path, [archive.peer], send_to="ARCHIVE") as port,
    ):
        send(slices, port, title="SCANNER")
        wait_until(lambda: archive.kinds == ["SEG", "SR"])


def test_an_answer_waits_for_a_peer_that_is_away(
    answer: Answerer, slices: list[Path], tmp_path: Path
) -> None:
    archive = Archive()
    with running(answer, tmp_path, [archive.peer]) as port:
        send(slices, port)
        wait_until(lambda: list((tmp_path / OUTBOX).glob("*/segmentation.dcm")))
        with archive:
            wait_until(lambda: archive.kinds == ["SEG", "SR"])


def test_the_same_series_again_makes_the_same_object(
    answer: Answerer, slices: list[Path], tmp_path: Path
) -> None:
    with Archive() as archive, running(answer, tmp_path, [archive.peer]) as port:
        for times in (1, 2):
            send(slices, port)
            wait_until(lambda times=times: len(archive.kept) == 2 * times)
    assert len({dataset.SOPInstanceUID for dataset in archive.kept}) == 2


def test_a_series_over_several_associations_is_one(
    answer: Answerer, slices: list[Path], mask: np.ndarray, series: Path, tmp_path: Path
) -> None:
    with Archive() as archive, running(answer, tmp_path, [archive.peer]) as port:
        send(slices[::2], port)
        send(slices[1::2], port)
        wait_until(lambda: len(archive.kept) == 2)
    (segments,) = (dataset for dataset in archive.kept if dataset.Modality == "SEG")
    np.testing.assert_array_equal(read_back(file_bytes(segments), Source.at(series), LABELS), mask)


class TestBadSeries:
    def test_one_is_set_aside_and_the_next_is_answered(
        self,
        answer: Answerer,
        slices: list[Path],
        other: list[Path],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        spool = tmp_path / "spool"
        with Archive() as archive, running(answer, spool, [archive.peer]) as port:
            send(other[:2] + other[3:], port)
            wait_until(lambda: list(spool.glob(f"{SET_ASIDE}/*/reason.txt")))
            send(slices, port)
            wait_until(lambda: archive.kinds == ["SEG", "SR"])
        (reason,) = spool.glob(f"{SET_ASIDE}/*/reason.txt")
        assert "slices are missing" in reason.read_text()
        assert len(list(reason.parent.glob("*.dcm"))) == 5
        (told,) = (record for record in caplog.records if "set aside" in record.getMessage())
        assert "slices are missing" in told.getMessage() and "\n" not in told.getMessage()

    def test_a_defect_ends_no_worker(self, other: list[Path], tmp_path: Path) -> None:
        def defect(images: Path, folder: Path) -> None:  # noqa: ARG001
            raise ZeroDivisionError

        spool = tmp_path / "spool"
        with Archive() as archive, running(defect, spool, [archive.peer]) as port:
            send(other, port)
            wait_until(lambda: list(spool.glob(f"{SET_ASIDE}/*/reason.txt")))
        (reason,) = spool.glob(f"{SET_ASIDE}/*/reason.txt")
        assert "ZeroDivisionError" in reason.read_text()

    def test_one_that_broke_off_is_not_predicted(self, other: list[Path], tmp_path: Path) -> None:
        spool = tmp_path / "spool"
        with Archive() as archive, running(instant, spool, [archive.peer], broken_s=0.6) as port:
            with association(port) as opened:
                opened.send_c_store(pydicom.dcmread(other[0]))
                opened.abort()
            wait_until(lambda: list(spool.glob(f"{SET_ASIDE}/*/reason.txt")))
        (reason,) = spool.glob(f"{SET_ASIDE}/*/reason.txt")
        assert reason.read_text() == "its sender broke off after 1 images; send it again\n"
        assert not archive.kept

    def test_one_that_broke_off_and_comes_again_is_answered(
        self, answer: Answerer, slices: list[Path], tmp_path: Path
    ) -> None:
        with Archive() as archive, running(answer, tmp_path, [archive.peer]) as port:
            with association(port) as opened:
                opened.send_c_store(pydicom.dcmread(slices[0]))
                opened.abort()
            send(slices, port)
            wait_until(lambda: archive.kinds == ["SEG", "SR"])

    def test_one_that_killed_the_process_again_and_again(self, other: list[Path], tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", 1e9)
        with spool.opened():
            spool.add("PACS", "1.2", "1.2.3", other[0].read_bytes())
            parcel = spool.complete(next(iter((tmp_path / "spool/received").iterdir())).name)
            for _ in range(3):
                parcel.count_try()
        with Archive() as archive, running(instant, tmp_path / "spool", [archive.peer]):
            wait_until(lambda: list((tmp_path / "spool").glob(f"{SET_ASIDE}/*/reason.txt")))
        assert not archive.kept


class TestRefusals:
    def test_a_stranger(self, tmp_path: Path) -> None:
        with (
            Archive() as archive,
            running(instant, tmp_path, [archive.peer]) as port,
            association(port, "STRANGER") as opened,
        ):
            assert not opened.is_established

    def test_whoever_may_not_send_though_another_is_answered(self, tmp_path: Path) -> None:
        with (
            Archive() as archive,
            running(instant, tmp_path, [archive.peer], send_to="PACS", only=["CT1"]) as port,
        ):
            with association(port, "CT2") as opened:
                assert not opened.is_established
            with association(port, "CT1") as opened:
                assert opened.is_established

    def test_an_image_for_which_there_is_no_room(self, other: list[Path], tmp_path: Path) -> None:
        size = other[0].stat().st_size
        with (
            Archive() as archive,
            running(instant, tmp_path / "spool", [archive.peer], spool_bytes=2.5 * size) as port,
        ):
            assert send(other[:3], port) == [0, 0, 0xA700]

    def test_an_answer_that_the_peer_does_not_want(
        self,
        answer: Answerer,
        slices: list[Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("segline.serving.dicom_node.delivery._FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr("segline.serving.dicom_node.delivery._MOST_REFUSALS", 2)
        with Archive(status=0xA900) as archive, running(answer, tmp_path, [archive.peer]) as port:
            send(slices, port)
            wait_until(lambda: list(tmp_path.glob(f"{SET_ASIDE}/*/reason.txt")))
        (reason,) = tmp_path.glob(f"{SET_ASIDE}/*/reason.txt")
        assert reason.read_text() == "PACS refuses the answer (status A900)\n"
        assert (reason.parent / "segmentation.dcm").exists()

    def test_a_second_node_at_one_spool(self, tmp_path: Path) -> None:
        with (
            Spool(tmp_path, 1e9).opened(),
            pytest.raises(SeglineError, match="another process is at the same work"),
            Spool(tmp_path, 1e9).opened(),
        ):
            pass

    @pytest.mark.parametrize(
        ("peers", "send_to", "only", "told"),
        [
            ([], None, [], "no peer to answer; add --peer"),
            (["PACS"], None, [], "PACS: no peer; write TITLE=HOST:PORT"),
            (["PACS=host:0"], None, [], "PACS=host:0: no peer"),
            (["PACS=host:104"], "OTHER", [], "--send-to OTHER: where is it?"),
            (["PACS=host:104"], None, ["CT"], "--only CT: where is it?"),
            (["A_VERY_LONG_TITLE=host:104"], None, [], "no AE title; give 1 to 16"),
        ],
    )
    def test_peers_that_make_no_sense(
        self, peers: list[str], send_to: str | None, only: list[str], told: str
    ) -> None:
        with pytest.raises(SeglineError, match=told.replace("?", r"\?")):
            Peers.of(peers, send_to, only)

    def test_a_model_that_needs_several_series(self, tmp_path: Path) -> None:
        with pytest.raises(SeglineError, match=r"small: needs 2 series of a patient \(channel0, channel1\)"):
            answerer(Served(Model(tmp_path, small_plan(channels=2)), "", "pytorch"), with_report=False)


class TestStopping:
    def test_what_is_being_predicted_is_finished_and_the_rest_is_kept(
        self, other: list[Path], slices: list[Path], tmp_path: Path
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow(images: Path, folder: Path) -> None:
            begun.set()
            go_on.wait(60)
            instant(images, folder)

        spool, archive = tmp_path / "spool", Archive()
        with running(slow, spool, [archive.peer]) as port:
            send(other, port)
            begun.wait(60)
            send(slices, port)
            wait_until(lambda: len(list((spool / PREDICTING).iterdir())) == 2)
            threading.Timer(0.5, go_on.set).start()
        assert len(list((spool / OUTBOX).iterdir())) == 1
        assert len(list((spool / PREDICTING).iterdir())) == 1

    def test_a_node_goes_on_where_another_was_killed(
        self, answer: Answerer, slices: list[Path], tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path, 1e9)
        with spool.opened():
            for number, path in enumerate(slices):
                name = spool.add("PACS", "1.2", str(number), path.read_bytes())
            spool.release(name)
            (tmp_path / "received" / name / ".writing-x.dcm").write_bytes(b"half")
        with Archive() as archive, running(answer, tmp_path, [archive.peer]):
            wait_until(lambda: archive.kinds == ["SEG", "SR"] and not left_in(tmp_path))

    def test_an_answer_that_was_written_is_not_predicted_again(
        self, slices: list[Path], tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path, 1e9)
        with spool.opened():
            parcel = spool.complete(spool.add("PACS", "1.2", "1", slices[0].read_bytes()))
            kept = shutil.copytree(parcel.folder, tmp_path / "kept")
            with spool.answer(parcel) as folder:
                instant(parcel.folder, folder)
            shutil.move(kept, parcel.folder)  # killed before the images were removed
        with Spool(tmp_path, 1e9).opened():
            assert not list((tmp_path / PREDICTING).iterdir())
            assert len(list((tmp_path / OUTBOX).iterdir())) == 1
