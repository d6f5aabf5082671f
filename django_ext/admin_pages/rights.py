"""Who may do what on the page."""

from __future__ import annotations

from typing import NamedTuple

from cache_core.page.actions import Action


class Rights(NamedTuple):
    """What somebody may do.

    Args:
        view: Look at everything.
        change: Change ramps, TTLs and the switches of single use cases, and invalidate.
        flip: Throw kill switches, that of everything among them, and take them back.
    """

    view: bool
    change: bool
    flip: bool

    @property
    def act(self) -> bool:
        """Whether there is any action that is allowed."""
        return self.change or self.flip

    def may_do(self, action: Action) -> bool:
        """Whether *action* on single use cases is allowed."""
        return self.change or (self.flip and action.is_kill_switch)

    def may_edit(self, *, everything: bool) -> bool:
        """Whether the form of an override is allowed; a ramp of everything is a kill switch, too."""
        return self.change and (self.flip or not everything)
