"""The last blocks of backbones, pooled by the mean: the matching system's global branch."""

import pytest
import torch

from copytrace.engine import CopytraceError
from copytrace.train.models.backbones import create_backbone
from copytrace.train.models.blocks import last_blocks
from copytrace.train.models.build import build_network
from copytrace.train.models.network import DescriptorNetwork, Head, Trunk
from copytrace.train.settings import Settings


@pytest.mark.parametrize("window", [7, 14])
def test_the_shapes_of_swin_b(window: int) -> None:
    with torch.device("meta"):
        backbone, scale = create_backbone(f"swin_base_patch4_window{window}_224", "none", 224)
        names = last_blocks(backbone, 4)
        trunk = Trunk(backbone, scale, names, average=True)
        network = DescriptorNetwork(trunk, Head(3072, 256)).eval()
        pixels = torch.zeros((2, 224, 224, 3), dtype=torch.uint8)
        maps = trunk.maps(pixels)
    assert names == ("layers.2.blocks.16", "layers.2.blocks.17", "layers.3.blocks.0", "layers.3.blocks.1")
    assert [tuple(x.shape) for x in maps] == [(2, 512, 14, 14), (2, 512, 14, 14), (2, 1024, 7, 7), (2, 1024, 7, 7)]
    assert trunk(pixels).shape == (2, 512 + 512 + 1024 + 1024) and network(pixels).shape == (2, 256)


def test_features_are_the_means_of_what_the_blocks_put_out() -> None:
    network = build_network(
        Settings(backbone="convnext_atto", weights="none", size=32, last_blocks=4, pooling="average")
    )
    trunk, seen = network.eval().trunk, []
    for name in ("stages.2.blocks.4", "stages.2.blocks.5", "stages.3.blocks.0", "stages.3.blocks.1"):
        trunk.backbone.get_submodule(name).register_forward_hook(lambda *args: seen.append(args[2]), prepend=True)
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        features = trunk(pixels)
    expected = torch.cat([x.mean(dim=(2, 3)) for x in seen], dim=1)
    torch.testing.assert_close(features, expected)
    assert features.shape == (3, 160 + 160 + 320 + 320) and (features < 0).any()


def test_blocks_of_other_families() -> None:
    with torch.device("meta"):
        for name, last in (
            ("resnet18", ("layer3.0", "layer3.1", "layer4.0", "layer4.1")),
            ("test_vit", ("blocks.2", "blocks.3", "blocks.4", "blocks.5")),
            ("tf_efficientnet_lite0", ("blocks.5.1", "blocks.5.2", "blocks.5.3", "blocks.6.0")),
            ("eca_nfnet_l1", ("stages.3.2", "stages.3.3", "stages.3.4", "stages.3.5")),
        ):
            assert last_blocks(create_backbone(name, "none")[0], 4) == last, name
        with pytest.raises(CopytraceError, match="give --taps"):
            last_blocks(create_backbone("hrnet_w18_small", "none")[0], 4)
        with pytest.raises(CopytraceError, match="names 8 blocks"):
            last_blocks(create_backbone("resnet18", "none")[0], 9)


def test_a_transformer_is_built_for_its_size_or_refused() -> None:
    settings = Settings(backbone="test_vit", weights="none", size=64, dimension=8, last_blocks=4, pooling="average")
    network = build_network(settings).eval()
    with torch.inference_mode():
        assert network(torch.zeros((1, 64, 64, 3), dtype=torch.uint8)).shape == (1, 8)
    with pytest.raises(CopytraceError, match="cannot look at 70 pixels"):
        build_network(Settings(backbone="test_vit", weights="none", size=70))
    with pytest.raises(CopytraceError, match="--first-size"):
        build_network(Settings(backbone="test_vit", weights="none", size=64, first_size=32))
