"""Graphs as plain data: what to compute, with no word about how it is kept secret."""

from tacit.ir.graph import Graph, Node

__all__ = ["Graph", "Node"]
