"""The tag ``{% cached %}``: a template fragment as a use case, whose entry follows entities.

::

    {% load cache_core %}
    {% cached 300 "sidebar" user_id=user.pk %} ... {% endcached %}

Behind it stands a cached function that renders the fragment. So whatever holds of those holds here:
invalidation, one rendering for many readers, the memory of the request, ramps and the kill switch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from hashlib import blake2b
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django import template
from django.conf import settings
from django.db.models import Model
from django.template.base import FilterExpression, NodeList, Parser, Token, token_kwargs
from django.template.defaulttags import CsrfTokenNode
from django.template.exceptions import TemplateSyntaxError
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cache_core import Policy
from cache_core.errors import CacheCoreError, LoaderFailed
from cache_core.protocol.scope import Scope
from cache_core.protocol.transactions import reads_since
from django_ext.default import cache
from django_ext.mapping import logger

if TYPE_CHECKING:
    from django.template.context import Context

register = template.Library()

_USAGE = (
    "{% cached <seconds> <name> [what the text varies on ...] [<key type>=<id> ...] "
    "[depends_on=<key types>] [tags=<tags>] %}"
)
_LISTS = ("depends_on", "tags")
_lock = threading.Lock()
_declared: dict[str, Declared] = {}


class Declared(NamedTuple):
    """A fragment as the first template has declared it.

    Args:
        name: What it is called.
        ttl: How long it lives, as it was written.
        key_type: What kind of entity it is about; None for none.
        origin: The template.
        function: The cached function.
    """

    name: str
    ttl: str
    key_type: str | None
    origin: str
    function: Callable[[Fragment], str]


def _began() -> float | None:
    """Since when the view may have read the variables of a fragment."""
    scope = cache.current_scope()
    return scope.began if isinstance(scope, Scope) else None


class RenderedElsewhere(LoaderFailed):
    """A fragment was to be rendered in another thread, or when its page was done with."""


class Personal(LoaderFailed):
    """A fragment shows a visitor's CSRF token, so its text is for nobody else."""


class Rendering:
    """The rendering of a fragment, which is possible in its place in a page only.

    The variables of a template change while it goes on, so a load in the background would see
    others.

    Args:
        nodes: The fragment.
        context: Its variables.
    """

    def __init__(self, nodes: NodeList, context: Context) -> None:
        self._nodes = nodes
        self._context: Context | None = context
        self._thread = get_ident()

    def __call__(self) -> str:
        """The text of the fragment for everybody.

        Raises:
            RenderedElsewhere: The page is not here.
            Personal: It is for one visitor.
        """
        context = self._context
        if context is None or get_ident() != self._thread:
            raise RenderedElsewhere("a fragment is rendered together with its page only")
        shown: list[bool] = []
        csrf_token = _noting(context.get("csrf_token"), shown)
        # What the fragment itself looks up is as new as can be.
        with context.push(csrf_token=csrf_token), reads_since(None):
            text = self.text()
        if shown:
            raise Personal("the fragment shows a CSRF token")
        return text

    def text(self) -> str:
        """The text, whoever it is for."""
        assert self._context is not None
        return self._nodes.render(self._context) + ""  # a plain text: any codec takes it

    def end(self) -> None:
        """The page goes on."""
        self._context = None


def _noting(csrf_token: Any, shown: list[bool]) -> Any:
    """*csrf_token*, noted in *shown* by whoever looks at it."""

    def look() -> Any:
        shown.append(True)
        return str(csrf_token)

    return None if csrf_token is None else SimpleLazyObject(look)


class Fragment(NamedTuple):
    """One use of a fragment.

    Args:
        id: The entity that it is about; None for none.
        key: What else its text depends on.
        depends_on: Other entities that it is invalidated with, and key types for any of theirs.
        tags: Its tags.
        rendering: Makes its text.
    """

    id: object
    key: tuple[Any, ...]
    depends_on: list[Any]
    tags: tuple[str, ...]
    rendering: Rendering


def render_fragment(fragment: Fragment) -> str:
    """A fragment of a template."""
    return fragment.rendering()


class Arguments(NamedTuple):
    """What stands in the tag behind the name.

    Args:
        vary: What else the text depends on.
        entities: Key types and ids; the first is the entity that the fragment is about.
        lists: What follows ``depends_on=`` and ``tags=``.
    """

    vary: list[FilterExpression]
    entities: list[tuple[str, FilterExpression]]
    lists: dict[str, FilterExpression]

    @property
    def follows(self) -> bool:
        """Whether the fragment is about anything that changes."""
        return bool(self.entities or self.lists)

    @classmethod
    def read(cls, bits: list[str], parser: Parser) -> Arguments:
        """The arguments that are written in *bits*, in any order."""
        read = cls([], [], {})
        for bit in bits:
            named = token_kwargs([bit], parser)
            if not named:
                read.vary.append(parser.compile_filter(bit))
            for name, value in named.items():
                if name in _LISTS:
                    read.lists[name] = value
                else:
                    read.entities.append((name, value))
        return read


class CachedNode(template.Node):
    """What stands between ``{% cached %}`` and ``{% endcached %}``.

    Args:
        declared: Its cached function.
        arguments: What it depends on.
        nodelist: What to render.
        body: A digest of its source, so that a changed template has new entries.
    """

    def __init__(
        self, declared: Declared, arguments: Arguments, nodelist: NodeList, body: str
    ) -> None:
        self.nodelist = nodelist
        self._declared = declared
        self._arguments = arguments
        self._body = body
        self._is_personal = False

    def render(self, context: Context) -> SafeString:
        """The text of the fragment, from the cache where that is allowed."""
        if self._is_personal:
            return self.nodelist.render(context)
        rendering = Rendering(self.nodelist, context)
        try:
            with reads_since(_began() if self._arguments.follows else None):
                text = self._declared.function(self._fragment(context, rendering))
        except RenderedElsewhere:
            text = rendering.text()
        except Personal:
            self._keep_out()
            text = rendering.text()
        finally:
            rendering.end()
        return mark_safe(text)  # noqa: S308 - what a template has rendered

    def _keep_out(self) -> None:
        self._is_personal = True
        logger.warning(
            "The fragment %r shows a CSRF token, maybe in a template that it includes; it is "
            "rendered anew for everybody. Leave the form out of it.",
            self._declared.name,
        )

    def _fragment(self, context: Context, rendering: Rendering) -> Fragment:
        entities = [(kind, _id(value, context)) for kind, value in self._arguments.entities]
        vary = [_plain(value.resolve(context)) for value in self._arguments.vary]
        others, types = tuple(entities[1:]), self._list("depends_on", context)
        return Fragment(
            entities[0][1] if entities else None,
            (self._body, *_surroundings(context), others, *vary),
            [*others, *types],
            self._list("tags", context),
            rendering,
        )

    def _list(self, name: str, context: Context) -> tuple[str, ...]:
        expression = self._arguments.lists.get(name)
        if expression is None:
            return ()
        value = expression.resolve(context)
        return tuple(map(_plain, value.split() if isinstance(value, str) else value))


@register.tag
def cached(parser: Parser, token: Token) -> CachedNode:
    """Caches a fragment of a template; see ``docs/django/backend.md``."""
    bits = token.split_contents()
    if len(bits) < 3:
        raise TemplateSyntaxError(f"'cached' needs a time to live and a name: {_USAGE}")
    body = _source_until(parser, "endcached")
    nodes = parser.parse(("endcached",))
    parser.delete_first_token()
    if nodes.get_nodes_by_type(CsrfTokenNode):
        raise TemplateSyntaxError(
            "A fragment in 'cached' has a csrf_token, which would be everybody's; leave the form out."
        )
    arguments = Arguments.read(bits[3:], parser)
    key_type = arguments.entities[0][0] if arguments.entities else None
    origin = str(parser.origin.name) if parser.origin else ""
    declared = _declare(_literal(bits[2]), _literal(bits[1]), key_type, origin)
    return CachedNode(declared, arguments, nodes, body)


def _declare(name: str, ttl: str, key_type: str | None, origin: str) -> Declared:
    """The fragment *name*, declared now or before.

    Raises:
        TemplateSyntaxError: Another template has declared it otherwise, or it cannot be declared.
    """
    with _lock:
        known = _declared.get(name)
        if known is not None and (known.ttl, known.key_type) == (ttl, key_type):
            return known
        if known is not None and known.origin != origin:
            raise TemplateSyntaxError(
                f"The fragment {name!r} of {origin} is declared otherwise in {known.origin} (another "
                "time to live, or another first key type); give it another name."
            )
        made = Declared(name, ttl, key_type, origin, _function(name, ttl, key_type))
        _declared[name] = made
        return made


def _function(name: str, ttl: str, key_type: str | None) -> Callable[[Fragment], str]:
    try:
        return cache.cached(
            use_case=name,
            policy=Policy(ttl=ttl, in_snapshot="hit"),
            key_type=key_type,
            id_arg=None if key_type is None else ("fragment", lambda fragment: fragment.id),
            arg_adapters={"fragment": lambda fragment: fragment.key},
            depends_on=lambda fragment: fragment.depends_on,
            tags=lambda fragment: fragment.tags,
        )(render_fragment)
    except CacheCoreError as error:
        raise TemplateSyntaxError(f"The fragment {name!r}: {error}") from error


def _source_until(parser: Parser, end: str) -> str:
    """A digest of what stands before the tag *end* of the one that is being compiled.

    A parser keeps the tokens that are still to be compiled in reverse.
    """
    digest, depth = blake2b(digest_size=8), 1
    for token in reversed(cast("list[Token]", parser.tokens)):
        words = token.contents.split()
        if token.token_type.name == "BLOCK" and words:
            depth += (words[0] == "cached") - (words[0] == end)
        if not depth:
            break
        digest.update(f"{token.token_type.name}{len(token.contents)}:{token.contents}".encode())
    return digest.hexdigest()


def _literal(bit: str) -> str:
    """The text of *bit*, with or without quotes; whoever declares a use case can ask no variable."""
    return bit[1:-1] if bit[0] in "\"'" and bit[-1] == bit[0] and len(bit) > 1 else bit


def _surroundings(context: Context) -> tuple[Any, ...]:
    """What the text of any fragment depends on: escaping, language and time zone."""
    return (
        bool(context.autoescape),
        get_language() if settings.USE_I18N else None,
        get_current_timezone_name() if settings.USE_TZ else None,
    )


def _id(expression: FilterExpression, context: Context) -> Any:
    """An id; None, which is nobody's, for a variable that is not there or is empty."""
    value = expression.resolve(context, ignore_failures=True)
    return value.pk if isinstance(value, Model) else None if value == "" else _plain(value)


def _plain(value: Any) -> Any:
    """*value* as something that a key can be built from, as far as that is known."""
    if isinstance(value, Model):
        return (value._meta.label, value.pk)
    if isinstance(value, (str, Promise)):
        return str(value) + ""  # a plain text
    return value
