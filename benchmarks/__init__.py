"""What agentui costs, as ratios against a bare Textual program measured in the same run."""
