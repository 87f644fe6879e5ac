"""Board profiles: what is known of each board, with unit, kind and source; and which board this is."""

from __future__ import annotations

from boards.profile import Figure, Profile, ProfileError, load, names

__all__ = ["Figure", "Profile", "ProfileError", "load", "names"]
