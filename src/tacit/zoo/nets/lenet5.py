"""LeNet-5 for 28x28 digits, with ReLU and max-pools (LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 1998).

The first convolution is padded, which stands for the paper's 32x32 images.
"""

from __future__ import annotations

from torch import Tensor, nn

from tacit.zoo.net import Net, Size

__all__ = ["NET", "LeNet5"]


class LeNet5(nn.Module):
    """(N, 1, 28, 28) to logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        self.relu, self.pool, self.flatten = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.pool(self.relu(self.conv1(x)))
        x = self.flatten(self.pool(self.relu(self.conv2(x))))
        return self.fc3(self.relu(self.fc2(self.relu(self.fc1(x)))))


_SIZE = Size(LeNet5, ((1, 1, 28, 28),))
NET = Net(published=_SIZE, small=_SIZE)
