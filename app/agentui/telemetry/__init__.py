"""Figures about the machine and the model: KV cache, memory, speed."""
