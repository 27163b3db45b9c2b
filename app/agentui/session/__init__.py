"""The record of a session: recorder, journal, replay."""
