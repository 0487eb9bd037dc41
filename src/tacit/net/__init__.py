"""Parties and bytes: channels of checked frames over memory, TCP and TLS, metered, shaped and recorded."""

from tacit.net.channel import Channel
from tacit.net.message import Message
from tacit.net.meter import Meter
from tacit.net.party import Party

__all__ = ["Channel", "Message", "Meter", "Party"]
