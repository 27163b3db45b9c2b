"""The only way out of the research profile: a proxy that connects to listed targets and refuses the rest.

Standard library only, so that the same files also run in a container that holds nothing else of agentui.
"""
