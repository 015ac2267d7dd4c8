"""A module whose import fails."""

raise LookupError("no settings")
