"""KV-cache sizes from a model's own metadata: pure arithmetic, no IO but reading a header."""
