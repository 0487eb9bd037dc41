"""Executors: the readings of a plan, and the conversations between parties around them."""
