"""What a project declares as tracked in its settings, for models that it does not own.

::

    CACHE_CORE = {
        "TRACK": {
            "auth.User": "user_id",
            "auth.Group": {"key_type": "user_id", "id": "shop.caching.members"},
            "sites.Site": [{"key_type": "site_id"}, {"key_type": "domain", "id": "domain"}],
        },
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.module_loading import import_string

from cache_core.errors import DeclarationError
from django_ext.conf import SETTING
from django_ext.mapping import Mapping as Tracked
from django_ext.mapping import Mistake

HINT = (
    "Give a key type, or a dict of 'key_type' and perhaps 'id' and 'bulk', or a list of these, for "
    "each 'app.Model'."
)
_NAMES = frozenset({"key_type", "id", "bulk"})


def declared(given: object) -> Iterator[Tracked | Mistake]:
    """The mappings that *given* declares, and what is wrong with the others."""
    if not isinstance(given, Mapping):
        yield Mistake("E005", f"{SETTING}['TRACK'] is {given!r}; expected a dict.", HINT)
        return
    for label, wanted in given.items():
        for options in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
            try:
                yield _mapping(label, options)
            except (DeclarationError, ImportError) as error:
                yield Mistake("E005", f"{SETTING}['TRACK'][{label!r}]: {error}", HINT)


def _mapping(label: object, options: Any) -> Tracked:
    if isinstance(options, str):
        options = {"key_type": options}
    if not isinstance(label, str) or not isinstance(options, Mapping):
        raise DeclarationError(f"{options!r} says nothing that is understood.")
    strange = sorted(set(map(str, options)) - _NAMES)
    if strange or "key_type" not in options:
        raise DeclarationError(f"{', '.join(strange) or 'no key_type'} was given.")
    id_of = options.get("id", "pk")
    if isinstance(id_of, str) and "." in id_of:
        id_of = import_string(id_of)
    return Tracked(label, options["key_type"], id_of, options.get("bulk", "type"))
