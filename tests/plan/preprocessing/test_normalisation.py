"""What a file's numbers become before the network sees them."""

import math

import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity

from segline.plan import IntensityWindow, Maximum, Mean, MinMax, Preprocessing, ZScore
from segline.plan.preprocessing.normalisation import OUTSIDE


def volume_of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)


class TestWindow:
    @pytest.mark.parametrize(
        ("hu", "expected"), [(-1024, 0.0), (-57, 0.0), (53.5, 0.5), (164, 1.0), (3071, 1.0)]
    )
    def test_the_window_becomes_zero_to_one_and_the_rest_is_clipped(self, hu, expected):
        result = IntensityWindow(window=(-57, 164)).apply(volume_of(hu), None)
        assert result.item() == pytest.approx(expected, abs=1e-6)

    def test_it_is_the_same_for_every_volume(self):
        alone = IntensityWindow(window=(-57, 164)).apply(volume_of(20), -500)
        beside_bone = IntensityWindow(window=(-57, 164)).apply(volume_of(20, 2000, -1000), -500)
        assert alone[0] == beside_bone[0]

    def test_outside_the_volume_is_the_window_s_lower_end(self):
        assert IntensityWindow(window=(-57, 164)).apply(volume_of(-57), None).item() == OUTSIDE


class TestZScore:
    def test_the_foreground_gets_mean_zero_and_sd_one(self):
        generator = torch.Generator().manual_seed(0)
        tissue = 500 + 80 * torch.randn((20, 20, 20), generator=generator)
        head = torch.cat([tissue, torch.zeros(20, 20, 20)])
        foreground = ZScore().apply(head, 0.0)[:20]
        assert foreground.mean().item() == pytest.approx(0, abs=1e-4)
        assert foreground.std(correction=0).item() == pytest.approx(1, abs=1e-4)

    def test_without_a_threshold_all_voxels_count(self):
        np.testing.assert_allclose(ZScore().apply(volume_of(0, 2), None).flatten(), [-1, 1])

    def test_where_nothing_is_above_the_threshold_all_voxels_count(self):
        np.testing.assert_allclose(ZScore().apply(volume_of(-4, -2), 0.0).flatten(), [-1, 1])

    def test_outliers_are_clipped_on_both_sides(self):
        values = torch.zeros(10_000).view(-1, 1, 1)
        values[0], values[1] = 1e6, -1e6
        result = ZScore(clip_sd=3).apply(values, None)
        assert (result.max().item(), result.min().item()) == (3, -3)

    def test_the_file_s_unit_does_not_matter(self):
        generator = torch.Generator().manual_seed(0)
        image = 100 + 20 * torch.randn((10, 10, 10), generator=generator)
        brighter = ZScore().apply(image * 1.7e4, None)
        torch.testing.assert_close(brighter, ZScore().apply(image.clone(), None), atol=1e-4, rtol=0)

    def test_outside_the_volume_is_the_foreground_s_mean(self):
        assert ZScore().apply(volume_of(5, 7, 9), None)[1].item() == OUTSIDE

    def test_a_constant_image_stays_finite(self):
        assert ZScore().apply(torch.full((3, 3, 3), 7.3), None).abs().max().item() == 0


class TestWhoseMeanAndDeviation:
    HEAD = (0.0, 0.0, -1.0, 3.0, 5.0, 9.0)

    def test_of_the_whole_volume_the_threshold_does_not_matter(self):
        result = ZScore(over="volume").apply(volume_of(*self.HEAD), 2.0).flatten().double()
        expected = (np.array(self.HEAD) - np.mean(self.HEAD)) / np.std(self.HEAD)
        np.testing.assert_allclose(result, expected, rtol=1e-6)

    def test_of_what_is_not_zero_the_zeros_stay_zero_as_in_monai(self):
        result = ZScore(over="nonzero").apply(volume_of(*self.HEAD), None)
        theirs = NormalizeIntensity(nonzero=True)(volume_of(*self.HEAD))
        np.testing.assert_allclose(result, theirs, rtol=1e-6)
        assert not result[:2].any() and result[2] < 0, "values below zero are no background"

    def test_an_image_of_zeros_stays_one(self):
        assert not ZScore(over="nonzero").apply(torch.zeros(3, 3, 3), None).any()

    def test_what_is_clipped_is_not_the_background(self):
        values = torch.cat([torch.zeros(99), torch.tensor([100.0] * 99 + [1e6])]).view(-1, 1, 1)
        result = ZScore(over="nonzero", clip_sd=3).apply(values, None)
        assert result[-1].item() == 3 and not result[:99].any()

    def test_the_foreground_is_not_written_so_that_digests_stay(self):
        assert ZScore().model_dump() == {"rule": "zscore", "clip_sd": 5.0}
        assert ZScore(over="volume").model_dump()["over"] == "volume"

    def test_each_is_told_in_words(self):
        assert ZScore().words == "z-score of the foreground, clipped at 5 SD"
        assert ZScore(over="volume").words == "z-score of the whole volume, clipped at 5 SD"
        assert (
            ZScore(over="nonzero").words == "z-score of what is not zero (zeros stay zero), clipped at 5 SD"
        )

    def test_channels_of_one_rule_are_told_together(self):
        rules = (MinMax(), Mean(), MinMax())
        told = Preprocessing(spacing_mm=(1, 1, 1), intensity=rules, foreground_above=None)
        assert told.rules_in_words(("T1", "CT", "T2")) == [
            "T1, T2: its own range scaled to 0 to 1",
            "CT: divided by its mean",
        ]


RULES = [
    IntensityWindow(window=(-57, 164)),
    ZScore(),
    ZScore(over="volume"),
    ZScore(over="nonzero"),
    MinMax(),
    Maximum(),
    Mean(),
]


class TestScaledByTheirOwn:
    @pytest.mark.parametrize(
        ("rule", "wanted"),
        [(MinMax(), [0, 0.5, 1]), (Maximum(), [-2 / 6, 2 / 6, 1]), (Mean(), [-1, 1, 3])],
        ids=["min_max", "max", "mean"],
    )
    def test_a_channel_is_scaled(self, rule, wanted):
        np.testing.assert_allclose(rule.apply(volume_of(-2, 2, 6), None).flatten(), wanted, rtol=1e-6)

    @pytest.mark.parametrize("rule", [MinMax(), Maximum(), Mean()], ids=lambda rule: rule.rule)
    def test_an_image_of_zeros_stays_one(self, rule):
        assert not rule.apply(torch.zeros(3, 3, 3), None).any()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.words)
@pytest.mark.parametrize("above", [None, 0.0])
def test_a_bundle_computes_the_same(rule, above):
    image = 100 * torch.randn((1, 6, 5, 4), generator=torch.Generator().manual_seed(1)) + 20
    image[0, :3] = 0
    theirs = eval(rule.monai("image[0:1]", above), {"math": math, "torch": torch, "image": image.clone()})
    torch.testing.assert_close(theirs[0], rule.apply(image[0].clone(), above), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.words)
def test_what_is_shown_black_and_white_is_in_the_files_unit(rule):
    low, high = rule.display_range(np.linspace(-500, 500, 1001))
    assert -500 <= low < high <= 500
