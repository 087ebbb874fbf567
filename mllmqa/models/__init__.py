"""The boundary to neural networks: presets, and back ends that turn requests into level logits or text."""
