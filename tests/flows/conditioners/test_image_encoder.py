from __future__ import annotations

import pytest
import torch

from flows.condition import ConditionShape
from flows.conditioners.image_encoder import ImageEncoder


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 4), (3, 7, 10)])
@pytest.mark.parametrize("rows", [0, 1, 4])
@pytest.mark.parametrize("spatial", [0, 2])
def test_features_and_spatial_context(shape: tuple[int, int, int], rows: int, spatial: int) -> None:
    encoder = ImageEncoder(shape, channels=(4, 6), features=5, spatial=spatial)
    c = encoder(torch.randn(rows, *shape))
    assert encoder.condition == ConditionShape(features=5, channels=spatial)
    assert c.vector is not None
    assert c.vector.shape == (rows, 5)
    if spatial:
        assert c.image is not None
        assert c.image.shape == (rows, spatial, *shape[1:])
        assert c.at(3, 2).shape == (rows, spatial, 3, 2)
    else:
        assert c.image is None


def test_features_know_where_things_are() -> None:
    torch.manual_seed(0)
    encoder, image = ImageEncoder((1, 8, 8)), torch.zeros(2, 1, 8, 8)
    image[0, 0, 1, 1] = image[1, 0, 6, 6] = 1
    vector = encoder(image).vector
    assert vector is not None
    assert (vector[0] - vector[1]).abs().max() > 1e-4


def test_every_parameter_learns() -> None:
    encoder = ImageEncoder((1, 6, 6), spatial=2)
    c = encoder(torch.randn(4, 1, 6, 6))
    (c.vector.sum() + c.at(3, 3).square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


def test_no_graph_breaks() -> None:
    torch.compiler.reset()
    encoder, image = ImageEncoder((1, 6, 6), spatial=2).eval(), torch.randn(3, 1, 6, 6)

    def outputs(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        c = encoder(image)
        return c.vector, c.at(3, 3)

    for compiled, eager in zip(
        torch.compile(outputs, fullgraph=True, backend="eager")(image), outputs(image), strict=True
    ):
        torch.testing.assert_close(compiled, eager)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"condition: expected images of shape \(1, 6, 6\), got \(1, 5, 6\)"):
        ImageEncoder((1, 6, 6))(torch.ones(2, 1, 5, 6))


@pytest.mark.parametrize(("name", "value"), [("channels", ()), ("channels", (0,)), ("features", 0)])
def test_bad_sizes_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        ImageEncoder((1, 6, 6), **{name: value})
