"""JSON and YAML that others wrote."""

from pathlib import Path

import pytest

from segline.common.documents.texts import parse_json, parse_loose_json, parse_yaml, read_bounded
from segline.common.errors import SeglineError

DEEP = 100
BOMB = "a: &a [0,0,0,0,0,0,0,0,0,0]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A billion values in 400 bytes."""


class TestJson:
    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "[-1e999]"])
    def test_a_number_that_is_not_finite_is_refused(self, number: str):
        with pytest.raises(ValueError, match="is not a finite number"):
            parse_json(f'{{"a": {number}}}')

    def test_where_somebody_tells_better_of_them_they_pass(self):
        assert parse_loose_json("[Infinity]") == [float("inf")]

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    @pytest.mark.parametrize("levels", [DEEP + 1, 1_000_000])
    def test_one_that_is_nested_too_deep_is_refused(self, opening: str, levels: int):
        closing = {"[": "]", '{"a":': "}"}[opening]
        with pytest.raises(ValueError, match="nested deeper than 100 levels"):
            parse_json(opening * levels + "0" + closing * levels)

    def test_as_deep_as_is_allowed_it_is_read(self):
        assert parse_json("[" * DEEP + "]" * DEEP)

    @pytest.mark.parametrize("text", [r'"\ud800"', r'{"\udfff": 1}', r'[["a\ud83d"]]'])
    def test_half_a_character_is_refused_in_a_line_that_can_be_printed(self, text: str):
        with pytest.raises(ValueError, match="UTF-8 cannot hold it") as error:
            parse_json(text)
        assert str(error.value).isascii()

    def test_both_halves_are_a_character(self):
        assert parse_json(r'"\ud83e\ude7b"') == "\U0001fa7b"

    def test_a_number_of_more_digits_than_python_reads_is_refused(self):
        with pytest.raises(ValueError, match="limit"):
            parse_json("9" * 5000)

    def test_a_byte_order_mark_is_no_part_of_it(self):
        assert parse_json(b"\xef\xbb\xbf[1]") == [1]


class TestYaml:
    @pytest.mark.parametrize("text", [BOMB, "a: &a [*a]", "a: &a {b: *a}"])
    def test_aliases_that_stand_for_too_much_are_refused(self, text: str):
        with pytest.raises(ValueError, match="more than 100,000 values, with what its aliases stand for"):
            parse_yaml(text)

    def test_aliases_of_a_usual_size_are_read(self):
        assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}")["c"] == {"x": 1, "y": 2}

    @pytest.mark.parametrize("text", ["[" * 5000, "- " * 5000, "[" * (DEEP + 1) + "]" * (DEEP + 1)])
    def test_one_that_is_nested_too_deep_is_refused(self, text: str):
        with pytest.raises(ValueError, match="nested deeper than 100 levels"):
            parse_yaml(text)

    @pytest.mark.parametrize("text", ['"\\ud800"', "\udcff", '{"\\ud800": 1}'])
    def test_half_a_character_is_refused(self, text: str):
        with pytest.raises(ValueError, match=r"UTF-8 cannot hold it|not allowed"):
            parse_yaml(text)

    @pytest.mark.parametrize(
        "text",
        [
            "[",
            "{[1]: 2}",
            "2024-99-99",
            "!!python/object:os.system x",
            "!!timestamp x",
            "!!bool x",
            "!!int x",
        ],
    )
    def test_whatever_is_wrong_is_a_value_error(self, text: str):
        with pytest.raises(ValueError) as error:
            parse_yaml(text)
        assert str(error.value)

    def test_one_that_is_too_long_is_refused_unread(self):
        with pytest.raises(ValueError, match="longer than 1,000,000 characters"):
            parse_yaml("[" + "0," * 600_000 + "]")

    def test_nothing_is_none(self):
        assert parse_yaml("") is None


def test_a_file_is_read_up_to_what_it_may_have(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"0" * 10)
    assert read_bounded(path, "a.json", 10) == b"0" * 10
    with pytest.raises(SeglineError, match=r"a\.json: larger than 9e-06 MB"):
        read_bounded(path, "a.json", 9)
    with pytest.raises(SeglineError, match="zero: larger than"):
        read_bounded(Path("/dev/zero"), "zero", 10)
