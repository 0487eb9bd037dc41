"""Offline material: what is demanded, who makes it, and where it waits until it is used once."""
