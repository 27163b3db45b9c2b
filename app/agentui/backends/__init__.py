"""Model servers behind one protocol: LM Studio and any OpenAI-style server."""
