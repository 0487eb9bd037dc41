"""From a Graph and a Policy to a Plan: who computes each node, in which ring and at which scale, at what exact bill."""
