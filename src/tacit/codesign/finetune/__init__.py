"""Fine-tuning from pretrained nets: range normalisation, progressive replacement, distillation, folding of scales."""

from __future__ import annotations

from tacit.codesign.finetune.fold import fold
from tacit.codesign.finetune.naive import Naive, naive
from tacit.codesign.finetune.tune import Choice, FineTuning, Tuned, fine_tune, short

__all__ = ["Choice", "FineTuning", "Naive", "Tuned", "fine_tune", "fold", "naive", "short"]
