"""What each verb does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from cache_core.console.changing import changed
from cache_core.console.result import DONE, WRONG, Refusal, Result, fields, paragraphs, table
from cache_core.console.steering import is_action, steered
from cache_core.doctor import Finding, Severity, examine
from cache_core.errors import did_you_mean
from cache_core.explain import aexplain, explain
from cache_core.explained import Explanation, LayerState, seconds

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.policy.policy import Effective

Options = Mapping[str, Any]
Examine = Callable[["Cache"], Sequence[Finding]]


def ask(question: str) -> bool:
    """Whether somebody at a terminal agrees; True where nobody sits there to be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def execute(
    cache: Cache,
    options: Options,
    *,
    confirm: Callable[[str], bool] = ask,
    examine: Examine = examine,
) -> Result:
    """Carries out one command.

    Args:
        cache: The cache.
        options: What was parsed by ``add_arguments``.
        confirm: Asks whether to go on with what has wide effects.
        examine: What the doctor does; an adapter's knows more.

    Raises:
        Refusal: It cannot be done as asked.
        CacheCoreError: The same, from the cache itself.
    """
    verb = options["verb"]
    if verb != "doctor":  # which does so itself, and says what is wrong
        cache.control.refresh()
    if verb == "ramps" and is_action(options["use_cases"], [u.name for u in cache.use_cases()]):
        return steered(cache, options, confirm)
    if verb == "stats":
        return _stats(cache, options["use_cases"])
    if verb == "ramps":
        return _ramps(cache, options["use_cases"])
    if verb == "explain":
        return _explain(cache, options["use_case"], options["arguments"])
    if verb == "doctor":
        return _doctor(examine(cache), options["fail_on"])
    return changed(cache, options, confirm)


# -- figures and policies --------------------------------------------------------------------------


def _stats(cache: Cache, wanted: Sequence[str]) -> Result:
    data = cache.stats()
    names = _known(cache, wanted)
    data["use_cases"] = {name: data["use_cases"][name] for name in names}
    head = ("use case", "requests", "hit ratio", "loads", "load s", "failed", "invalidated")
    rows = [_figures(name, figures) for name, figures in data["use_cases"].items()]
    state = fields(
        [
            ("namespace", data["namespace"]),
            ("store", data["remote"]),
            ("local entries", data["local"]["entries"]),
            ("invalidations", data["invalidations"]),
            ("of these waiting", data["undelivered_invalidations"]),
        ]
    )
    told = "These are the figures of this process since it began."
    return Result(data, paragraphs(state, table(head, rows), told))


def _figures(name: str, figures: Mapping[str, Any]) -> tuple[object, ...]:
    counted = ("requests", "hit_ratio", "loads", "load_seconds", "load_failures", "invalidations")
    return (name, *[figures[each] for each in counted])


def _ramps(cache: Cache, wanted: Sequence[str]) -> Result:
    policies = {name: cache.policy(name) for name in _known(cache, wanted)}
    head = ("use case", "on", "local", "ttl", "remote", "ttl", "set by", "note")
    return Result(
        {name: _policy(policy) for name, policy in policies.items()},
        table(head, [_row(name, policy) for name, policy in policies.items()])
        or "No use case is declared in this process.",
    )


def _policy(policy: Effective) -> dict[str, object]:
    return {name: {"value": value, "source": source} for name, value, source in policy.rows()}


def _row(name: str, policy: Effective) -> tuple[object, ...]:
    parts = [each for layer in (policy.local, policy.remote) for each in _part(layer)]
    shown = ("enabled", "ramp_local", "ramp_remote", "ttl_local", "ttl_remote")
    sources = dict.fromkeys([policy.sources[each] for each in shown])
    return (name, policy.enabled, *parts, ", ".join(sources), policy.note or "")


def _part(layer: Any) -> tuple[str, str]:
    return f"{layer.ramp:g} %", "-" if layer.ttl is None else seconds(layer.ttl)


def _known(cache: Cache, wanted: Sequence[str]) -> Sequence[str]:
    """The names in *wanted*, or of every use case.

    Raises:
        Refusal: One is not declared.
    """
    names = [each.name for each in cache.use_cases()]
    for name in wanted:
        if name not in names:
            raise Refusal(f"There is no use case {name!r}. {did_you_mean(name, names)}".rstrip())
    return wanted or names


# -- explain ---------------------------------------------------------------------------------------


def _explain(cache: Cache, name: str, arguments: Sequence[str]) -> Result:
    _known(cache, [name])
    own = cache.function(name)
    parameters = {each.name for each in own.binding.parameters}
    args, kwargs = _arguments(arguments, parameters)
    try:
        if iscoroutinefunction(own.function):
            said = asyncio.run(aexplain(own, *args, **kwargs))
        else:
            said = explain(own, *args, **kwargs)
    except TypeError as error:
        raise Refusal(f"{name}: {error}") from error
    return Result(said.to_mapping(), _explained(said))


def _arguments(given: Sequence[str], names: set[str]) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = [], {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals and name in names:
            kwargs[name] = _value(value)
        else:
            args.append(_value(text))
    return args, kwargs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explained(said: Explanation) -> str:
    changed_policy = [
        (name, f"{value}  ({source})")
        for name, (value, source) in said.policy.items()
        if source != "built-in"
    ]
    things = [
        (each.thing, each.version, seconds(each.age), "marked" if each.is_marked else "")
        for each in said.versions
    ]
    return paragraphs(
        said.sentence,
        fields([("key", said.key), ("in the store", said.storage)]),
        table(
            ("layer", "state", "age", "left", "bytes", "ramp", "bucket", "filled by"),
            map(_state, said.layers),
        ),
        table(("depends on", "version", "changed before", ""), things),
        fields(changed_policy),
    )


def _state(layer: LayerState) -> tuple[object, ...]:
    state = layer.off or layer.reason
    age = None if layer.age is None else seconds(layer.age)
    left = None if layer.left is None else seconds(layer.left)
    name = "valid" if state is None else state.value
    ramp = f"{layer.ramp:g} %"
    return (layer.layer.value, name, age, left, layer.size, ramp, layer.bucket, layer.filled_by)


# -- doctor ----------------------------------------------------------------------------------------


def _doctor(findings: Sequence[Finding], fail_on: str) -> Result:
    bad = {Severity.ERROR} if fail_on == "error" else {Severity.ERROR, Severity.WARNING}
    is_wrong = any(each.severity in bad for each in findings)
    lines = [f"{each.severity.value.upper()} {each.id}\n  {_told(each)}" for each in findings]
    verdict = "Something is wrong." if is_wrong else "All is well."
    data = {"ok": not is_wrong, "findings": [asdict(each) for each in findings]}
    return Result(data, paragraphs(*lines, verdict), WRONG if is_wrong else DONE)


def _told(finding: Finding) -> str:
    return f"{finding.text}\n  {finding.remedy}" if finding.remedy else finding.text
