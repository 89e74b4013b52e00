"""Weights from files: published self-supervised checkpoints in the layouts of their code, and what does not fit."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from copytrace.engine import CopytraceError
from copytrace.train.models.backbones import create_backbone
from copytrace.train.models.weights import load_weights_file, timm_names


def parts(*modules: str) -> list[str]:
    return [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]


def block(name: str, *, positions: bool) -> list[str]:
    table = [f"{name}.attn.relative_position_bias_table"] if positions else []
    inside = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    return table + parts(*(f"{name}.{module}" for module in inside))


def esvit_names(depths: tuple[int, ...]) -> list[str]:
    """A Swin transformer's tensors as EsViT's code names them: the reduction stands at the end of a stage."""
    names = parts("patch_embed.proj", "patch_embed.norm", "norm")
    for stage, depth in enumerate(depths):
        for place in range(depth):
            names += block(f"layers.{stage}.blocks.{place}", positions=True)
        if stage + 1 < len(depths):
            names += [f"layers.{stage}.downsample.reduction.weight", *parts(f"layers.{stage}.downsample.norm")]
    return names


def dino_names(depth: int) -> list[str]:
    names = ["cls_token", "pos_embed", *parts("patch_embed.proj", "norm")]
    return names + [name for place in range(depth) for name in block(f"blocks.{place}", positions=False)]


def heads(value: float) -> dict[str, torch.Tensor]:
    """What both papers train on top of a backbone, and throw away."""
    names = [
        *parts("head.mlp.0", "head.mlp.2", "head_dense.mlp.0"),
        "head.last_layer.weight_g",
        "head.last_layer.weight_v",
    ]
    return {name: torch.full((3,), value) for name in names}


def small_swin() -> torch.nn.Module:
    create_backbone("resnet10t", "none")  # which makes timm importable here
    from timm.models.swin_transformer import SwinTransformer

    how = {"patch_size": 4, "embed_dim": 16, "depths": (1, 2), "num_heads": (1, 2), "window_size": 4}
    return SwinTransformer(img_size=32, num_classes=0, **how)


def published(names: list[str], like: dict[str, torch.Tensor], prefixes: tuple[str, str]) -> dict[str, object]:
    """A checkpoint with random values; ``like`` says each name's shape."""
    generator = torch.Generator().manual_seed(1)
    networks = {
        network: {f"{prefix}{name}": torch.randn(like[name].shape, generator=generator) for name in names}
        for network, prefix in zip(("student", "teacher"), prefixes, strict=True)
    }
    for network, value in (("student", 1.0), ("teacher", 2.0)):
        networks[network] |= {prefixes[0][:7] + name: tensor for name, tensor in heads(value).items()}
    rest = {"optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 3, "args": Namespace(arch="x", lr=0.1)}
    return rest | networks


def test_an_esvit_checkpoint_is_mapped(tmp_path: Path) -> None:
    swin = small_swin()
    own = swin.state_dict()
    theirs = {name.replace("layers.1.downsample", "layers.0.downsample"): value for name, value in own.items()}
    checkpoint = published(esvit_names((1, 2)), theirs, ("module.", ""))
    index = torch.zeros((16, 16), dtype=torch.int64)
    checkpoint["teacher"]["layers.0.blocks.0.attn.relative_position_index"] = index
    torch.save(checkpoint, tmp_path / "esvit.pth")
    load_weights_file(swin, tmp_path / "esvit.pth")
    for name, value in swin.state_dict().items():
        there = name.replace("layers.1.downsample", "layers.0.downsample")
        assert torch.equal(value, checkpoint["teacher"][there]), name
    del checkpoint["teacher"]
    torch.save(checkpoint, tmp_path / "student.pth")
    load_weights_file(swin, tmp_path / "student.pth")
    assert torch.equal(swin.patch_embed.proj.weight, checkpoint["student"]["module.patch_embed.proj.weight"])


def test_every_name_of_the_published_networks_has_its_place() -> None:
    with torch.device("meta"):
        for backbone, names in (
            ("swin_base_patch4_window14_224", esvit_names((2, 2, 18, 2))),
            ("swin_tiny_patch4_window7_224", esvit_names((2, 2, 6, 2))),
            ("vit_small_patch16_224", dino_names(12)),
            ("vit_base_patch16_224", dino_names(12)),
        ):
            network, _ = create_backbone(backbone, "none", 224)
            mapped = timm_names({f"module.backbone.{name}": torch.zeros(1) for name in names}, network)
            assert set(mapped) == set(network.state_dict()), backbone


def test_a_dino_checkpoint_is_mapped(tmp_path: Path) -> None:
    vit, _ = create_backbone("test_vit", "none")
    shapes = vit.state_dict()
    checkpoint = published(dino_names(len(vit.blocks)), shapes, ("module.backbone.", "backbone."))
    torch.save(checkpoint, tmp_path / "full.pth")
    load_weights_file(vit, tmp_path / "full.pth")
    assert all(
        torch.equal(value, checkpoint["teacher"][f"backbone.{name}"]) for name, value in vit.state_dict().items()
    )
    alone = {name: torch.full_like(value, 0.5) for name, value in shapes.items()}
    torch.save(alone, tmp_path / "alone.pth")
    load_weights_file(vit, tmp_path / "alone.pth")
    assert float(vit.pos_embed.mean()) == 0.5


def test_what_does_not_fit_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    vit, _ = create_backbone("test_vit", "none")
    good = {name: value.clone() + 1 for name, value in vit.state_dict().items()}
    before = vit.pos_embed.clone()
    wrong = good["blocks.0.attn.qkv.weight"][:-1]
    for state, said in (
        ({name: value for name, value in good.items() if name != "cls_token"}, "missing: cls_token"),
        (good | {"blocks.9.gamma": torch.zeros(2), "rope.w": torch.zeros(2)}, "unknown: blocks.9.gamma, rope.w"),
        (good | {"blocks.0.attn.qkv.weight": wrong}, "of another shape: blocks.0.attn.qkv.weight"),
        ({f"other.{name}": value for name, value in good.items()}, "more"),
        ([1, 2], "not a state dict"),
        ({"epoch": 3}, "not a state dict"),
        ({"pos_embed": tmp_path}, "not a state dict"),  # which only unpickling could make
    ):
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(CopytraceError, match=r"w\.pth: not ") as caught:
            load_weights_file(vit, tmp_path / "w.pth")
        assert said in str(caught.value) and "\n" not in str(caught.value)
        assert torch.equal(vit.pos_embed, before)
    with pytest.raises(CopytraceError, match="cannot be read: No such file"):
        load_weights_file(vit, tmp_path / "none.pth")
    with pytest.raises(CopytraceError, match="timm has no weights"):
        create_backbone("swin_base_patch4_window14_224")
