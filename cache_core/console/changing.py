"""The verbs that change something: what they are about, whether to go on, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.console.result import DONE, WRONG, Refusal, Result
from cache_core.errors import InvalidationFailed, did_you_mean
from cache_core.protocol.write import Delivery

if TYPE_CHECKING:
    from cache_core.cache import Cache


class _Target(NamedTuple):
    """What is invalidated at once: its names, whether much depends on it, and how it is done."""

    names: Sequence[str]
    is_wide: bool
    invalidate: Callable[[], Delivery]


def changed(cache: Cache, options: Mapping[str, Any], confirm: Callable[[str], bool]) -> Result:
    """Carries out ``invalidate`` or ``flush``; arguments as of ``execute``.

    Raises:
        Refusal: Nothing was named, or something that does not exist.
    """
    is_flush = options["verb"] == "flush"
    targets = [_everything(cache)] if is_flush else list(_targets(cache, options))
    sweep = _sweeper(cache) if is_flush and options["sweep"] else None
    names = [name for target in targets for name in target.names]
    warnings = [] if is_flush else _warnings(cache, options["key_type"])
    data: dict[str, Any] = {"targets": names, "warnings": warnings, "dry_run": options["dry_run"]}
    if options["dry_run"]:
        return Result(data, _list(warnings, "To be invalidated:", names))
    wide = [name for target in targets if target.is_wide for name in target.names]
    if wide and not options["yes"] and not confirm(f"Invalidate {', '.join(wide)}?"):
        return Result(data, "Nothing was done.", WRONG)
    deliveries = [_is_done(target) for target in targets]  # each, whatever becomes of the others
    data["delivered"] = all(deliveries)
    if not data["delivered"]:
        return Result(data, "The store did not acknowledge; repeat it when it answers.", WRONG)
    text = _list(warnings, "Invalidated:", names)
    if sweep is not None:
        data["swept"] = sweep()
        text += f"\n{data['swept']} keys were removed from the store."
    return Result(data, text, DONE)


def _is_done(target: _Target) -> bool:
    try:
        return target.invalidate() is Delivery.OK
    except InvalidationFailed:
        return False


def _list(warnings: Sequence[str], head: str, names: Sequence[str]) -> str:
    return "\n".join([*warnings, head, *[f"  {name}" for name in names]])


def _everything(cache: Cache) -> _Target:
    namespace = cache.runtime.settings.namespace
    return _Target([f"everything in {namespace!r}"], True, cache.flush)


def _sweeper(cache: Cache) -> Callable[[], int]:
    sweep: Callable[[], int] | None = getattr(cache.runtime.remote, "sweep", None)
    if sweep is None:
        raise Refusal("--sweep: there is no store that could be swept; flush without it.")
    return sweep


def _targets(cache: Cache, options: Mapping[str, Any]) -> Iterator[_Target]:
    key_type, ids, ms = options["key_type"], options["ids"], options["buffer_ms"]
    found = [
        *_entities(cache, key_type, ids, every=options["all"], ms=ms),
        *_tags(cache, options["tag"], ms),
        *_use_cases(cache, options["use_case"], ms),
        *_tenant(cache, options["tenant"], ms),
    ]
    if not found:
        raise Refusal("Nothing to invalidate was named; give KEY_TYPE ID, or see --help.")
    yield from found


def _entities(
    cache: Cache, key_type: str | None, ids: Sequence[str], *, every: bool, ms: int
) -> Iterator[_Target]:
    if key_type is None:
        if every:
            raise Refusal("--all needs a KEY_TYPE; what empties the whole cache is flush.")
        return
    if every == bool(ids):
        raise Refusal(f"Give ids of {key_type!r}, or --all for every one, and not both.")
    if every:
        job = partial(cache.invalidate_type, key_type, buffer_ms=ms)
        yield _Target([f"every {key_type}"], True, job)
    else:
        pairs = [(key_type, one) for one in ids]
        job = partial(cache.invalidate_many, pairs, buffer_ms=ms)
        yield _Target([f"{key_type} {one}" for one in ids], False, job)


def _warnings(cache: Cache, key_type: str | None) -> list[str]:
    """Whether nothing is known to depend on a type: perhaps it is misspelt.

    What depends on it may be found while loading, or in another process, so this refuses nothing.
    """
    known = sorted({own.use_case.key_type for own in cache.functions()} - {None}, key=str)
    if key_type is None or key_type in known:
        return []
    hint = did_you_mean(key_type, map(str, known))
    return [f"No use case of this process is about a {key_type!r}. {hint}".rstrip()]


def _tags(cache: Cache, names: Sequence[str], ms: int) -> Iterator[_Target]:
    if names:
        job = partial(cache.invalidate_tags, *names, buffer_ms=ms)
        yield _Target([f"tag {name}" for name in names], False, job)


def _use_cases(cache: Cache, names: Sequence[str], ms: int) -> Iterator[_Target]:
    known = [each.name for each in cache.use_cases()]
    for name in names:
        if name not in known:
            raise Refusal(f"There is no use case {name!r}. {did_you_mean(name, known)}".rstrip())
        job = partial(cache.invalidate_use_case, name, buffer_ms=ms)
        yield _Target([f"use case {name}"], True, job)


def _tenant(cache: Cache, steps: Sequence[str], ms: int) -> Iterator[_Target]:
    levels = dict([step.partition("=")[::2] for step in steps])
    if levels:
        cache.check_tenant_path(tuple(levels))
        job = partial(cache.invalidate_tenant, buffer_ms=ms, **levels)
        yield _Target([f"tenant {' '.join(steps)}"], True, job)
