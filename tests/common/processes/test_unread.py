"""Streams that nobody reads any more."""

import os
import subprocess
import sys

import pytest

from segline.common.processes.unread import silence, unread

from ...command import left_by_its_reader

HEAD = "import sys; from segline.common.processes import lean; sys.exit(lean.run(main))"
PRINTS = "def main():\n    for line in range(100_000): print(line)\n    return 3\n"
OTHERS = "import os\ndef main():\n    one, other = os.pipe(); os.close(one); os.write(other, b'x')\n"


@pytest.mark.parametrize("lines", [0, 2])
def test_a_program_whose_reader_leaves_ends_as_if_by_sigpipe_without_a_word(lines: int) -> None:
    done = left_by_its_reader([sys.executable, "-c", f"{PRINTS}{HEAD}"], lines)
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout == "0\n1\n"[: 2 * lines]


def test_a_pipe_that_breaks_elsewhere_keeps_its_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", f"{OTHERS}{HEAD}"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("BrokenPipeError: [Errno 32] Broken pipe")


def test_what_is_left_of_a_silenced_stream_is_no_error() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        stream.write("before")
        assert not unread(stream)
        os.close(reader)
        assert unread(stream)
        with pytest.raises(BrokenPipeError):
            stream.flush()
        silence(stream)
        stream.write("after")
        stream.flush()
        assert not unread(stream)
