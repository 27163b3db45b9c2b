"""Where commands run: Docker, or the scripted sandbox of the demo."""
