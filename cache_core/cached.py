"""A cached function: the wrapper that callers call, and the hot path inside it.

The wrapper is generated with the function's own parameters, so a call costs no packing and each
spelling of it (positional, keyword, default) is one key. Its body is the whole hot path: what the
request remembers, or an entry of the local layer that was found valid under the present versions.
Everything else is decided in ``protocol.read``.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial, update_wrapper
from inspect import iscoroutinefunction, ismethod
from traceback import format_exception_only
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
)

from cache_core.answer import Answer
from cache_core.errors import DeclarationError, TenantMissing, UnkeyableValue
from cache_core.events import Bypassed, Called, Outcome, Reason
from cache_core.keys.function import place
from cache_core.keys.identity import Identities, Identity
from cache_core.protocol.call import Call
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.failed import Errors, given
from cache_core.protocol.scope import LoadingScope
from cache_core.protocol.telling import reading
from cache_core.protocol.write import Delivery

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.keys.binding import Binding
    from cache_core.keys.dependencies import Dependencies
    from cache_core.keys.key import Key
    from cache_core.keys.usecase import UseCase
    from cache_core.policy.policy import Policy
    from cache_core.protocol.call import TtlOfResult
    from cache_core.protocol.comparing import Comparator
    from cache_core.protocol.scope import AnyScope, Holder
    from cache_core.wire.codecs import CodecChoice

HANDLES = (
    *("answer", "aanswer", "key", "invalidate", "ainvalidate"),
    *("map", "amap", "get_many", "aget_many"),
)
"""What a decorated function has beside ``use_case``, ``uncached`` and ``cached_function``."""


class CachedFunction:
    """What stands behind a wrapper.

    Args:
        cache: The cache that the function was declared on.
        use_case: Its use case.
        binding: How its arguments become a key.
        dependencies: What its entries depend on besides their entity.
        declared: The decorator's tier of the policy.
        codec: What turns its values into bytes; None for the cache's own choice.
        version: Its version function; None for none.
        cache_errors: The errors of the function that are kept as values are.
        compare: Whether a cached and a loaded value are the same; None for the form they are kept
            in.
        accept: Whether a kept value may be served; None where all may.
        result_ttl: How long a result lives; None for what the policy says.

    Attributes:
        late: Value -> things that its entry depends on besides those of the call, in canonical
            order; None where nothing follows from values. Raises ``UnkeyableValue``.
        key_types: The types of entity that the declaration names and an invalidation reaches it by.
        names_dependencies: Whether the declaration names anything that its entries follow: an
            entity, a tenant, tags, other entities or a version function.

    Raises:
        DeclarationError: Its entries depend on more things than can be compared at every read.
    """

    def __init__(
        self,
        cache: Cache,
        use_case: UseCase,
        binding: Binding,
        *,
        dependencies: Dependencies,
        declared: Policy,
        codec: CodecChoice | None,
        version: Callable[..., Any] | None,
        cache_errors: Errors = (),
        compare: Comparator | None = None,
        accept: Callable[[Any], object] | None = None,
        result_ttl: TtlOfResult | None = None,
    ) -> None:
        self.cache = cache
        self.use_case = use_case
        self.binding = binding
        self.declared = declared
        self.codec = codec
        self.version = version
        self.cache_errors = cache_errors
        self.compare = compare
        self.accept = accept
        self.result_ttl = result_ttl
        self.late = dependencies.late
        own = use_case.key_type if use_case.tracked else None
        named = {own or "", *[each.key_type for each in dependencies.fixed]}
        self.key_types = frozenset(named - {""})
        follows = (own, binding.tenant_path, dependencies.fixed, version)
        self.names_dependencies = any(follows) or dependencies.vary or self.late is not None
        self.function = binding.function
        self.calls_while_off = 0
        self._wrapper: Any = None
        self._identities = Identities(use_case, binding, dependencies)

    def identify(
        self, key: tuple[Hashable, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Identity:
        """What the entry of a call is called and depends on.

        Args:
            key: Its local key.
            args: Its arguments by position, as the wrapper hands them on.
            kwargs: Those by keyword.

        Raises:
            TenantMissing: A tenant has no id, whatever else is wrong.
            UnkeyableValue: The id or an argument has no stable text, or what the call depends on
                cannot be told.
        """
        try:
            return self._identities.of(key[1:], args, kwargs)
        except Exception:
            self.binding.check_tenant(*args, **kwargs)
            raise

    def read(self, scope: AnyScope, key: tuple[Hashable, ...], /, *args: Any, **kwargs: Any) -> Any:
        """A call that the hot path could not answer."""
        call = self.call(scope, key, args, kwargs)
        return given(run(call.runtime, reading(call)))

    async def aread(
        self, scope: AnyScope, key: tuple[Hashable, ...], /, *args: Any, **kwargs: Any
    ) -> Any:
        """As ``read``, for coroutine functions."""
        call = self.call(scope, key, args, kwargs)
        return given(await arun(call.runtime, reading(call)))

    def answer(self, /, *args: Any, **kwargs: Any) -> Answer[Any]:
        """As a call, and tells where the value came from and how old it is."""
        call = self._begun(args, kwargs)
        if call is None:
            return Answer(self.function(*args, **kwargs), Outcome.BYPASS)
        value = given(run(call.runtime, reading(call)))
        return Answer(value, *call.answered)

    async def aanswer(self, /, *args: Any, **kwargs: Any) -> Answer[Any]:
        """As ``answer``, for coroutine functions."""
        call = self._begun(args, kwargs)
        if call is None:
            return Answer(await self.function(*args, **kwargs), Outcome.BYPASS)
        value = given(await arun(call.runtime, reading(call)))
        return Answer(value, *call.answered)

    def _begun(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The call with these arguments; None where caching is off, or there can be no key."""
        self._check_owner(args, kwargs)
        scope = self.cache.current_scope()
        if scope is None:
            self.calls_while_off += 1
            self.binding.check_tenant(*args, **kwargs)
            return None
        try:
            pending = self.pending(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - an adapter may raise anything
            self.note_unkeyable(scope, error, *args, **kwargs)
            return None
        return self.call(scope, pending.key, pending.args, pending.kwargs)

    def note_unkeyable(
        self, scope: AnyScope, error: Exception, /, *args: Any, **kwargs: Any
    ) -> None:
        """Counts and reports a call whose key could not be built; it runs uncached.

        Args:
            scope: That of the caller.
            error: What kept the key from being built.
            args: The arguments of the call by position.
            kwargs: Those by keyword.

        Raises:
            TenantMissing: They do not say whose the call is: it is not to run at all.
        """
        runtime, refusal = scope.runtime, self._refusal(args, kwargs)
        if isinstance(scope, LoadingScope):
            scope.found.spoil(Reason.UNKNOWN_DEPENDENCY)
        name = self.use_case.name
        reason = Reason.UNKEYABLE if refusal is None else Reason.TENANT_MISSING
        runtime.tally(name).count(Outcome.BYPASS, None, reason)
        runtime.hooks.send(Bypassed(name, None, reason, _printed(refusal or error)))
        if runtime.hooks.wanted(Called):
            failed = None if refusal is None else type(refusal).__name__
            runtime.hooks.send(Called(name, "", Outcome.BYPASS, reason=reason, error=failed))
        if refusal is not None:
            raise refusal

    def _refusal(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TenantMissing | None:
        try:
            self.binding.check_tenant(*args, **kwargs)
        except TenantMissing as error:
            return error
        return None

    def call(
        self,
        scope: AnyScope,
        key: tuple[Hashable, ...],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Call:
        """A call in *scope* that begins now."""
        runtime = scope.runtime
        now = runtime.clock.monotonic()
        plan = runtime.plan(self)
        wall = runtime.clock.wall()
        return Call(self, key, scope, plan, args, kwargs, started=now, wall=wall)

    def wrapper(self, active: Holder) -> Any:
        """The function that callers call.

        Args:
            active: Holds the scope of the running code while caching is enabled, else None.
        """
        wrapper = _compile(self, active)
        update_wrapper(wrapper, self.function)
        wrapper.use_case = self.use_case
        wrapper.uncached = self.function
        wrapper.cached_function = self
        for name in HANDLES:
            setattr(wrapper, name, getattr(self, name))
        self._wrapper = wrapper
        return wrapper

    def key(self, /, *args: Any, **kwargs: Any) -> Key:
        """The key of the entry for these arguments.

        Raises:
            DeclarationError: It is the handle of a method and was not given the object.
            UnkeyableValue: An argument has no stable text, or a callable of the declaration failed.
        """
        self._check_owner(args, kwargs)
        key = self.binding.key(self._items(args, kwargs))
        schema = self.use_case.schema
        return key if schema is None else replace(key, schema=schema.tail)

    def pending(self, /, *args: Any, **kwargs: Any) -> PartialCall:
        """The call with these arguments, not made yet.

        Raises:
            DeclarationError: It is the handle of a method and was not given the object.
            TypeError: The arguments do not fit the signature.
            UnkeyableValue: As for ``key``.
        """
        self._check_owner(args, kwargs)
        key = (self.use_case.name, *self._items(args, kwargs))
        return PartialCall(self, key, *self.binding.arguments(*args, **kwargs))

    def _items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Hashable, ...]:
        """The items of the local key, whatever a callable of the declaration raises."""
        try:
            return self.binding.bind(*args, **kwargs)
        except UnkeyableValue:
            raise
        except Exception as error:
            self.binding.arguments(*args, **kwargs)  # raises where it is these that do not fit
            raise UnkeyableValue(_printed(error)) from error

    def _check_owner(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Python hands the object on to a method, but not to the handles of a method."""
        owner = self.binding.parameters[0].name if self.binding.parameters else ""
        if owner not in {"self", "cls"}:
            return
        given = args[0] if args else kwargs.get(owner)
        kind = given if owner == "cls" and isinstance(given, type) else type(given)
        name = self.function.__name__
        for each in kind.__mro__:
            method = vars(each).get(name)
            if getattr(getattr(method, "__func__", method), "cached_function", None) is self:
                return
        raise DeclarationError(
            f"{self.use_case.name!r} is a method, and its handles need the object it is called on "
            f"as first argument, as in TheClass.{name}.invalidate(the_object, ...); they were given "
            f"an object of type {type(given).__qualname__!r}"
        )

    def invalidate(self, /, *args: Any, **kwargs: Any) -> Delivery:
        """Invalidates the one entry for these arguments."""
        return self.cache.invalidate_key(self.key(*args, **kwargs))

    async def ainvalidate(self, /, *args: Any, **kwargs: Any) -> Delivery:
        """As ``invalidate``, for asyncio."""
        return await self.cache.ainvalidate_key(self.key(*args, **kwargs))

    def map(self, arguments: Iterable[Any], /, **common: Any) -> list[Any]:
        """What the function returns for each of *arguments*, looked up in one round trip."""
        calls = [partial(self._wrapper, *_positional(each), **common) for each in arguments]
        self.cache.prefetch(calls)
        return [call() for call in calls]

    async def amap(self, arguments: Iterable[Any], /, **common: Any) -> list[Any]:
        """As ``map``, for coroutine functions; what is not cached is loaded one after the other."""
        calls = [partial(self._wrapper, *_positional(each), **common) for each in arguments]
        await self.cache.aprefetch(calls)
        return [await call() for call in calls]

    def get_many(self, ids: Iterable[Any], /, **common: Any) -> dict[Any, Any]:
        """What the function returns for each id, by id, looked up in one round trip."""
        ids = tuple(dict.fromkeys(ids))
        return dict(zip(ids, self.map([(one,) for one in ids], **common)))

    async def aget_many(self, ids: Iterable[Any], /, **common: Any) -> dict[Any, Any]:
        """As ``get_many``, for coroutine functions."""
        ids = tuple(dict.fromkeys(ids))
        return dict(zip(ids, await self.amap([(one,) for one in ids], **common)))


def _printed(error: Exception) -> str:
    """What *error* says; an adapter may raise anything, also what cannot be printed."""
    if isinstance(error, UnkeyableValue):
        return str(error)
    return format_exception_only(error)[-1].strip()


def _positional(given: Any) -> tuple[Any, ...]:
    """The positional arguments that an item of ``map`` stands for: a tuple of them, or one."""
    return given if isinstance(given, tuple) else (given,)


class PartialCall(NamedTuple):
    """A call that was not made yet.

    Args:
        function: The cached function.
        key: The local key of the call.
        args, kwargs: Its arguments as the wrapper hands them on.
    """

    function: CachedFunction
    key: tuple[Hashable, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call_of(call: partial[Any]) -> PartialCall:
    """The call that ``functools.partial(get_user, 7)`` stands for.

    Raises:
        DeclarationError: It is something else, or of a function that is not cached.
        TypeError: The arguments do not fit the signature.
        UnkeyableValue: The id or an argument has no stable text.
    """
    if not isinstance(call, partial):
        raise DeclarationError(
            "A call that is not made yet is given as functools.partial(function, arguments...), "
            f"and not as a {type(call).__name__}."
        )
    wrapper: Any = call.func
    args = call.args
    if ismethod(wrapper):
        wrapper, args = wrapper.__func__, (wrapper.__self__, *args)
    own: CachedFunction | None = getattr(wrapper, "cached_function", None)
    # Another decorator may have copied the attribute, and may call something else.
    if own is None or getattr(wrapper, "__wrapped__", None) is not own.binding.function:
        raise DeclarationError(
            f"{place(wrapper)} is not a cached function, so its calls cannot be looked up; give "
            "functools.partial() of what @cached returned, below any other decorator."
        )
    return own.pending(*args, **call.keywords)


# {p} is a prefix that none of the function's own names begins with. {check_tenant} is empty but for
# functions of tenants.
_TEMPLATE = """\
{p}def {p}wrapper({signature}):
    {p}scope = {p}active()
    if {p}scope is None:
        {p}own.calls_while_off += 1
        {check_tenant}return {p}wait{p}function({call})
    try:
        {p}key = ({p}marker, {items})
        {p}memo = {p}scope.memo
        {p}entry = {p}memo.get({p}key)
    except {p}Exception as {p}error:
        {p}own.note_unkeyable({p}scope, {p}error, {call})
    else:
        if {p}entry is not None:
            {p}plan = {p}entry.plan
            if {p}plan.fast and {p}scope.expires > {p}now():
                {p}plan.tally.request_hits += 1
                return {p}entry.value
        else:
            {p}entry = {p}scope.entries.get({p}key)
            if {p}entry is not None and {p}entry.checked is {p}scope.versions.token:
                {p}plan = {p}entry.plan
                {p}time = {p}now()
                if {p}plan.fast and {p}entry.sure_until > {p}time and {p}scope.expires > {p}time:
                    {p}entry.hot = True
                    {p}memo[{p}key] = {p}entry
                    {p}plan.tally.local_hits += 1
                    return {p}entry.value
        return {p}wait{p}read({p}scope, {p}key, {call})
    return {p}wait{p}function({call})
"""


def _compile(own: CachedFunction, active: Holder) -> Any:
    binding, is_async = own.binding, iscoroutinefunction(own.function)
    p = binding.prefix
    source = _TEMPLATE.replace("{p}def", "async def" if is_async else "def")
    source = source.replace("{p}wait", "await " if is_async else "").format(
        p=p,
        check_tenant=f"{p}check_tenant({binding.call_source}); " if binding.levels else "",
        signature=binding.signature_source,
        call=binding.call_source,
        items=binding.key_source,
    )
    namespace = {
        **binding.namespace,
        f"{p}Exception": Exception,
        f"{p}active": active.get,
        f"{p}own": own,
        f"{p}function": own.function,
        f"{p}marker": own.use_case.name,
        f"{p}now": own.cache.clock.monotonic,
        f"{p}read": own.aread if is_async else own.read,
        f"{p}check_tenant": binding.check_tenant,
    }
    # A name of its own for each function, with its source known to tracebacks and debuggers.
    filename = f"<cache_core wrapper of {own.use_case.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec"), namespace)  # noqa: S102 - built from names only
    return namespace[f"{p}wrapper"]
