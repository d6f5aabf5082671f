"""Who may see and change something: whoever a hook says, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import current_app, request
from werkzeug.wrappers import Response

from cache_core.events import logger

if TYPE_CHECKING:
    from flask_ext.control.options import Hook, Options

LONGEST_NAME = 200
"""Characters that are kept of who somebody is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a hook has said.

    Args:
        allowed: Whether it was a yes.
        response: What is to be sent in place of a refusal, as the way to a login; None for nothing.
    """

    allowed: bool
    response: Response | None = None


NO = Verdict(False)


class Access:
    """The hooks of one control page. A hook that is not there, or that fails, says no.

    Args:
        options: What the page was registered with.
    """

    def __init__(self, options: Options) -> None:
        self._options = options

    @property
    def is_closed(self) -> bool:
        """Whether there is no hook at all, so that nobody sees anything."""
        return self._options.may_view is None

    def view(self) -> Verdict:
        """Whether the running request may see the page."""
        return _asked("may_view", self._options.may_view)

    def change(self) -> Verdict:
        """Whether it may change something, if it may see the page: ask that first."""
        return _asked("may_change", self._options.may_change)

    def actor(self) -> str | None:
        """Who is there, for the history; None where the hook fails, so that it must not be."""
        if self._options.actor is None:
            return (request.remote_user or "")[:LONGEST_NAME]
        try:
            said = _called(self._options.actor)
        except Exception:  # noqa: BLE001 - of the app; whatever it raises, nothing is changed
            logger.exception("The hook actor of the control page failed; nothing is changed")
            return None
        return "" if said is None else str(said)[:LONGEST_NAME]


def _asked(name: str, hook: Hook | None) -> Verdict:
    if hook is None:
        return NO
    try:
        said = _called(hook)
    except Exception:  # noqa: BLE001 - of the app; whatever it raises is a no
        logger.exception("The hook %s of the control page failed, which is a no", name)
        return NO
    if isinstance(said, Response):
        return Verdict(False, said)
    # Exactly True: something that is merely not empty, such as a forgotten call, is no permission.
    return Verdict(said is True)


def _called(hook: Hook) -> Any:
    return current_app.ensure_sync(hook)()
