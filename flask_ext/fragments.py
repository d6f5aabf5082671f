"""Parts of templates from the cache: the tag ``{% cached %}``.

::

    {% cached "UserCard", lang, depends_on=("user_id", user.id), ttl="5m" %}
      ... {{ user.name }} ...
    {% endcached %}

The first text is the use case, of which there is one for all fragments of that name. What follows by
position is what the fragment depends on besides its own text. Flask-Caching's tag is ``{% cache %}``;
both may stand in one template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, has_app_context
from jinja2 import nodes
from jinja2.ext import Extension

from cache_core import Policy
from cache_core.errors import DeclarationError
from cache_core.protocol.scope import Scope
from cache_core.protocol.transactions import reads_since
from flask_ext.attempts import Attempt, shared
from flask_ext.pages import Refusal, session_object

if TYPE_CHECKING:
    from jinja2.parser import Parser

    from flask_ext.extension import CacheCore

TAG = "cached"
_OPTIONS = ("ttl", "depends_on", "tags")


class CachedTag(Extension):
    """The tag, as Jinja knows it; ``init_app`` adds it to the app's templates."""

    tags = {TAG}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """The fragment as a call of ``_render``.

        Raises:
            TemplateSyntaxError: The name is no text, an option is unknown, or the environment is async.
        """
        line = next(parser.stream).lineno
        if self.environment.is_async:
            parser.fail("{% cached %} does not work in an environment with enable_async", line)
        name = parser.stream.expect("string").value
        parts, options = _arguments(parser)
        body = parser.parse_statements((f"name:end{TAG}",), drop_needle=True)
        # A fragment with another text is another one: in another template, or after a deploy.
        text = blake2b(repr(body).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        given = [options.get(option, nodes.Const(None)) for option in _OPTIONS]
        lists = [nodes.Tuple(items, "load") for items in (parts, given)]
        call = self.call_method("_render", [nodes.Const(name), nodes.Const(text), *lists])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _render(
        self,
        name: str,
        text: str,
        parts: tuple[object, ...],
        options: tuple[Any, ...],
        caller: Callable[[], str],
    ) -> str:
        cache = _cache()
        if cache is None:
            return caller()
        ttl, depends_on, tags = options
        attempt = FragmentAttempt(cache, name, caller)
        call = partial(
            cache.fragments.get(name, ttl), text, parts, _entities(depends_on), _tags(tags), attempt
        )
        with reads_since(_began(cache) if depends_on or tags else None):
            found: str | None = shared(call, attempt)
        if found is None:
            found = attempt.text if attempt.is_begun else caller()
        return found


class Fragments:
    """The use cases of a declaration's fragments, made when they are first rendered.

    Args:
        cache: The declaration.
    """

    def __init__(self, cache: CacheCore) -> None:
        self._cache = cache
        self._known: dict[str, tuple[Any, Any]] = {}
        self._lock = Lock()

    def get(self, name: str, ttl: Any) -> Any:
        """The cached function of the fragments called *name*.

        Raises:
            DeclarationError: It has another TTL elsewhere, or something else has the name.
        """
        with self._lock:
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = (self._declare(name, ttl), ttl)
        if known[1] != ttl:
            raise DeclarationError(
                f"The fragment {name!r} has ttl={ttl!r} here and ttl={known[1]!r} elsewhere. Give "
                "it one TTL, or one of them another name."
            )
        return known[0]

    def _declare(self, name: str, ttl: Any) -> Any:
        @self._cache.cached(
            use_case=name,
            policy=Policy(ttl=ttl, in_snapshot="hit"),
            depends_on=lambda text, parts, entities, tags, attempt: entities,  # noqa: ARG005
            tags=lambda text, parts, entities, tags, attempt: tags,  # noqa: ARG005
            ignore_args=["attempt"],
            schema="fragment1",
        )
        def fragment(
            text: str,  # noqa: ARG001 - part of the key
            parts: tuple[object, ...],  # noqa: ARG001 - as above
            entities: tuple[object, ...],  # noqa: ARG001 - as above
            tags: tuple[str, ...],  # noqa: ARG001 - as above
            attempt: FragmentAttempt,
        ) -> str | None:
            made: str | None = attempt.load()
            return made

        return fragment


class FragmentAttempt(Attempt):
    """One attempt to render a fragment.

    Args:
        cache: The declaration.
        name: The fragment's.
        caller: Renders it.

    Attributes:
        text: What was rendered.
    """

    def __init__(self, cache: CacheCore, name: str, caller: Callable[[], str]) -> None:
        super().__init__(cache, name)
        self.text = ""
        self._caller = caller

    def make(self) -> str | None:
        """Renders the fragment; one that looks at the session is for this request only."""
        session = session_object()
        before = session is not None and session.accessed
        if before:
            session.accessed = False
        try:
            with reads_since(None):  # what the fragment itself looks up is as new as can be
                self.text = str(self._caller())
            is_personal = session is not None and session.accessed
        finally:
            if before:
                session.accessed = True
        if is_personal:
            self.refuse(Refusal.SESSION)
            return None
        return self.text


def _began(cache: CacheCore) -> float | None:
    """Since when the view may have read the variables of a fragment."""
    scope = cache.current_scope()
    return scope.began if isinstance(scope, Scope) else None


def add_tag(app: Flask) -> None:
    """Has the templates of *app* understand the tag; does not make their environment too early."""
    if "jinja_env" in vars(app):
        app.jinja_env.add_extension(CachedTag)
        return
    extensions = [*app.jinja_options.get("extensions", []), CachedTag]
    app.jinja_options = {**app.jinja_options, "extensions": [*dict.fromkeys(extensions)]}


def _cache() -> CacheCore | None:
    """The declaration that fragments belong to: the app's "default", or else its first one."""
    caches = current_app.extensions.get("cache_core", {}) if has_app_context() else {}
    for cache in (*filter(None, [caches.get("default")]), *caches.values()):
        declaration: CacheCore = cache.declaration
        return declaration
    return None


def _arguments(parser: Parser) -> tuple[list[nodes.Expr], dict[str, nodes.Expr]]:
    """What follows the name: expressions by position, then the options."""
    parts: list[nodes.Expr] = []
    options: dict[str, nodes.Expr] = {}
    while parser.stream.skip_if("comma"):
        is_option = parser.stream.current.type == "name" and parser.stream.look().type == "assign"
        if not is_option:
            parts.append(parser.parse_expression())
            continue
        option = parser.stream.expect("name")
        if option.value not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            parser.fail(
                f"{{% cached %}} has the options {known}, not {option.value!r}", option.lineno
            )
        parser.stream.expect("assign")
        options[option.value] = parser.parse_expression()
    return parts, options


def _entities(given: Any) -> tuple[Any, ...]:
    """One entity, one key type, or several of them, as a tuple."""
    if given is None:
        return ()
    is_pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)
    if isinstance(given, str) or (is_pair and not isinstance(given[1], tuple)):
        return (given,)
    return tuple(given)


def _tags(given: str | Iterable[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)
