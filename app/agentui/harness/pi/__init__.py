"""Pi behind the harness protocol: it thinks in a process of its own, we execute and decide."""
