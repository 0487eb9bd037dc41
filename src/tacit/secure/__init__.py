"""The words every protocol and every layer is written in: Share, Kernel, Protocol, Session, Cost, and the hub
sharing.
"""
