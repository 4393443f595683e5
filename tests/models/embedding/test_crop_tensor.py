"""The input tensor of networks that take an aligned crop."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from models.embedding.crop_tensor import crop_tensor
from models.manifest import describe


@pytest.mark.parametrize("channels", ["bgr", "rgb"])
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (127.5, 128.0)])
def test_planes_have_the_channel_order_and_scale_of_the_network(
    channels: Literal["bgr", "rgb"], mean: float, scale: float
) -> None:
    """Every plane equals the channel in plain numpy, bit for bit."""
    pixels = np.random.default_rng(7).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    model = replace(describe("sface"), channels=channels, mean=mean, scale=scale)
    tensor = crop_tensor(pixels, model)
    order = (0, 1, 2) if channels == "bgr" else (2, 1, 0)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert tensor.shape == (1, 3, 112, 112)
    for plane, channel in zip(tensor[0], order, strict=True):
        expected = (pixels[:, :, channel].astype(np.float32) - np.float32(mean)) / scale
        np.testing.assert_array_equal(plane, expected.astype(np.float32))
