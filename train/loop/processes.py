"""One process or many: what ``torchrun`` says about them."""

import os

import torch
import torch.distributed as dist


def rank_and_world() -> tuple[int, int]:
    """This process's number, and how many there are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def start_processes() -> torch.device:
    """The device of this process; joins the group when ``torchrun`` started it."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if rank_and_world()[1] > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def mean_over_processes(value: float, device: torch.device) -> float:
    """The same on all of them."""
    if not dist.is_initialized():
        return value
    total = torch.tensor(value, device=device)
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()
