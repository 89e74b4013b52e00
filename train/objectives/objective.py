"""What the loop asks of an objective; ArcFace, InfoNCE and triplets are three of them."""

from torch import Tensor, nn


class Objective(nn.Module):
    """A network and what it is trained to do: ``objective(inputs, classes)`` is the loss of a batch.

    A checkpoint keeps its state dict: the network's under ``network.``, and what else is learnt or remembered.
    Attributes: network; views, how many views of every photograph a batch holds.
    """

    views = 1

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def set_classes(self, classes: int, centres: Tensor | None = None) -> None:
        """From now on ``classes`` of the photographs take part, around these centres [classes, D] or fresh ones.

        Parameters may be replaced, so that optimisers must be made anew. An objective without classes has nothing to do.
        """

    def sparse_parameters(self) -> list[nn.Parameter]:
        """Those whose gradients are sparse, and need an optimiser of their own."""
        return []
