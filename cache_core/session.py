"""Version functions that are asked once for a session, whatever the session is.

A scope remembers what a version function answered; where scopes are requests, nothing more is
needed. This is for sessions that are not scopes: several of them in one request, or none at all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping
from functools import wraps
from inspect import iscoroutinefunction
from itertools import count
from typing import Any, TypeAlias, Union

from cache_core.errors import UnkeyableValue
from cache_core.keys.text import argument_text

Session: TypeAlias = Union[MutableMapping[Any, Any], Callable[[], Any], Any]
"""A mapping, an object with attributes (a request), a proxy of either (Flask's ``g``), or a callable
that returns one of these, or None where there is no session."""

_MOST = 1_000
_ABSENT: Any = object()
_numbers = count(1)


def once_in(session: Session, version: Callable[..., Any]) -> Callable[..., Any]:
    """*version*, asked once for the same arguments as long as *session* stands.

    Without a session it is asked each time, and so it is with an argument that has no stable text,
    as an object that *ignore_args* keeps out of the key. What it raised is not remembered.

    Args:
        session: Where answers are kept, under a name of their own; at most 1000 for each
            ``once_in``. Not one that is stored, as Django's ``request.session`` is.
        version: A version function, sync or async.

    Returns:
        What ``cached(version=...)`` is given.

    Example:
        >>> revisions, request = {"home": 1}, {}
        >>> version = once_in(request, lambda name: revisions[name])
        >>> version("home"), revisions.update(home=2), version("home")
        (1, None, 1)
    """
    name = f"cache_core.versions.{next(_numbers)}"

    if iscoroutinefunction(version):

        @wraps(version)
        async def aasked(*args: Any, **kwargs: Any) -> Any:
            memo, key = _place(session, name, args, kwargs)
            found = memo.get(key, _ABSENT)
            return _kept(memo, key, await version(*args, **kwargs)) if found is _ABSENT else found

        return aasked

    @wraps(version)
    def asked(*args: Any, **kwargs: Any) -> Any:
        memo, key = _place(session, name, args, kwargs)
        found = memo.get(key, _ABSENT)
        return _kept(memo, key, version(*args, **kwargs)) if found is _ABSENT else found

    return asked


def _place(
    session: Session, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[Hashable, Any], str]:
    """Where the answer to these arguments is remembered: in which memo, and as what."""
    try:
        return _memo(session, name), argument_text((args, kwargs))
    except UnkeyableValue:
        return {}, ""


def _memo(session: Session, name: str) -> dict[Hashable, Any]:
    """What the session remembers for one function; nothing that lasts where there is none."""
    try:
        # In this order: Flask's proxies look as if they could be called.
        there = session if hasattr(session, "setdefault") or not callable(session) else session()
        if there is None:
            return {}
        keep = there.setdefault if hasattr(there, "setdefault") else vars(there).setdefault
        memo: dict[Hashable, Any] = keep(name, {})
    except (RuntimeError, LookupError):  # proxies and context variables, outside of a request
        return {}
    return memo


def _kept(memo: dict[Hashable, Any], key: Hashable, version: Any) -> Any:
    if len(memo) >= _MOST:
        memo.clear()
    return memo.setdefault(key, version)
