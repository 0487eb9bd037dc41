"""CryptoNAS (Ghodsi et al., NeurIPS 2020): architectures under a budget of ReLUs, or of predicted private seconds."""
