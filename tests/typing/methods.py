"""Cached methods, class methods and static methods; read by type checkers, never executed."""

from __future__ import annotations

from typing_extensions import assert_type

from cache_core import Cache, Delivery, Key

cache = Cache()


class Shop:
    """Something with methods."""

    id: int

    @cache.cached(key_type="shop", id_arg=("self", lambda shop: shop.id), ttl=60)
    def name(self, lang: str = "en") -> str:
        """A method whose object holds the id."""
        return f"{self.id}{lang}"

    @cache.cached(ignore_args=["self"], key_type="product", id_arg="product_id", ttl=60)
    async def price(self, product_id: int) -> float:
        """An async method whose object does not matter."""
        return product_id / 3

    @classmethod
    @cache.cached(ignore_args=["cls"], ttl=60)
    def count(cls, country: str) -> int:
        """A class method: @classmethod stands above."""
        return len(country)

    @staticmethod
    @cache.cached(ttl=60)
    def currencies(country: str) -> list[str]:
        """A static method: @staticmethod stands above."""
        return [country]


def check_methods(shop: Shop) -> None:
    """On an instance, the first parameter is bound."""
    assert_type(shop.name("de"), str)
    assert_type(Shop.name(shop, "de"), str)
    assert_type(Shop.name.key(shop, "de"), Key)
    assert_type(Shop.name.invalidate(shop), Delivery)
    assert_type(Shop.name.uncached(shop), str)
    assert_type(Shop.name.use_case.name, str)


async def check_async_methods(shop: Shop) -> None:
    """The same for coroutines."""
    assert_type(await shop.price(7), float)
    assert_type(await Shop.price(shop, product_id=7), float)
    assert_type(await Shop.price.ainvalidate(shop, 7), Delivery)


def check_class_and_static_methods(shop: Shop) -> None:
    """Both are called as Python's own are."""
    assert_type(Shop.count("se"), int)
    assert_type(shop.count(country="se"), int)
    assert_type(Shop.currencies("se"), list[str])
    assert_type(shop.currencies("se"), list[str])


def check_wrong_calls(shop: Shop) -> None:
    """Binding a method does not forget the other parameters."""
    shop.name(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shop.name("de", 7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Shop.name("de")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shop.name.key("de")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shop.count(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shop.currencies()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
