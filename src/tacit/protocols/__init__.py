"""How to be secret: one folder each, found by its name; no protocol imports another."""
