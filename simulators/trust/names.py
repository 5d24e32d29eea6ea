"""The measures by name, in the groups that a use of the simulator rests on."""

from __future__ import annotations

__all__ = ["BUYING", "CLICKS", "INTERPLAY", "SESSIONS"]

CLICKS = (
    "clicks by position",
    "clicks by query group",
    "clicks by item popularity",
    "calibration of clicks",
)
"""What is clicked, item by item."""
INTERPLAY = ("clicks per page", "clicks near clicks", "items passed over between clicks")
"""How the clicks of a page hang together."""
BUYING = ("purchases by position", "calibration of purchases")
"""What is bought."""
SESSIONS = ("leaving", "pages per session", "clicks per session", "purchases per session")
"""How visits go on and end."""
