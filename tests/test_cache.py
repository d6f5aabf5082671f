"""What users see of a cache: declaring, enabling, policies, copies, hooks, figures."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from types import SimpleNamespace

import pytest

from cache_core import (
    Cache,
    ConfigurationError,
    DeclarationError,
    Layer,
    Policy,
    Reason,
    TenantMissing,
    UnkeyableValue,
)
from cache_core.cached import call_of
from cache_core.events import Bypassed, Hit, LayerFailed, Loaded, Missed, PolicyChanged
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    return Cache(clock=clock)


def counted(cache, **options):
    """A cached function of one argument that counts its runs."""
    runs = []
    options = {"key_type": "row", "id_arg": "id", "use_case": "Get", "ttl": 60} | options

    @cache.cached(**options)
    def get(id):
        runs.append(id)
        return {"id": id, "run": len(runs)}

    get.runs = runs
    return get


def figures(cache, use_case="Get"):
    return cache.stats()["use_cases"][use_case]


class TestEnabling:
    def test_blocks_nest_and_restore(self, cache):
        """disable() inside enable() ends with its block, and enable() with its own."""
        states = []
        with cache.enable():
            with cache.disable():
                states.append(cache.is_enabled)
                with cache.enable():
                    states.append(cache.is_enabled)
                states.append(cache.is_enabled)
            states.append(cache.is_enabled)
        states.append(cache.is_enabled)
        assert states == [False, True, False, True, False]

    def test_an_exception_restores_too(self, cache):
        """Whatever leaves the block, caching is as it was before."""
        for error in (ValueError, KeyboardInterrupt, GeneratorExit):
            with pytest.raises(error), cache.enable():
                raise error
            assert not cache.is_enabled

    def test_a_thread_starts_without(self, cache):
        """Another thread does not inherit the block; one that runs in a copy of the context does."""
        with cache.enable(), ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: cache.is_enabled).result() is False
            context = copy_context()
            assert pool.submit(context.run, lambda: cache.is_enabled).result() is True

    def test_a_task_inherits_it_and_keeps_its_own(self, cache):
        """A task begins with what its creator had; what it switches stays in it."""

        async def child():
            with cache.disable():
                await asyncio.sleep(0)
                return cache.is_enabled

        async def main():
            with cache.enable():
                task = asyncio.create_task(child())
                await asyncio.sleep(0)
                return cache.is_enabled, await task

        assert asyncio.run(main()) == (True, False)

    def test_a_block_left_in_another_context_restores(self, cache):
        """A generator fixture may be finished from elsewhere; nothing breaks and nothing stays on."""

        def fixture():
            with cache.enable():
                yield

        generator = fixture()
        copy_context().run(next, generator)
        generator.close()
        assert not cache.is_enabled

    def test_the_settings_can_switch_everything_off(self):
        """enabled=False makes enable() a no-op."""
        cache = Cache(enabled=False)
        with cache.enable():
            assert not cache.is_enabled

    def test_two_caches_know_nothing_of_each_other(self, cache):
        """Enabling one cache leaves the other off."""
        with cache.enable():
            assert not Cache().is_enabled

    def test_work_that_outlives_its_request_sees_the_present(self, cache):
        """In the context of a request that is over nothing is remembered any more."""
        get = counted(cache)
        with cache.enable():
            get(1)
            context = copy_context()
        cache.invalidate("row", 1)
        assert context.run(get, 1)["run"] == 2
        cache.invalidate("row", 1)
        assert context.run(get, 1)["run"] == 3


class TestDeclaring:
    def test_the_function_stays_what_it_was(self, cache):
        """Name, docstring, module and coroutine nature are those of the function."""

        @cache.cached(use_case="A", ttl=1)
        async def documented():
            """Says something."""

        assert documented.__doc__ == "Says something."
        assert documented.__name__ == "documented"
        assert asyncio.iscoroutinefunction(documented.__wrapped__)
        assert documented.use_case.name == "A"

    def test_methods_say_what_self_means(self, cache):
        """With self adapted, two instances have entries of their own."""

        class Repository:
            def __init__(self, tenant):
                self.tenant = tenant

            @cache.cached(
                key_type="row",
                id_arg="id",
                arg_adapters={"self": lambda self: self.tenant},
                use_case="M",
                ttl=60,
            )
            def get(self, id):
                return self.tenant, id

        with cache.enable():
            assert Repository("a").get(1) == ("a", 1)
            assert Repository("b").get(1) == ("b", 1)
            assert Repository("a").get(1) == ("a", 1)
        assert figures(cache, "M")["loads"] == 2

    def test_below_classmethod_and_staticmethod(self, cache):
        """The decorator works below both."""

        class Shop:
            @classmethod
            @cache.cached(use_case="C", ttl=60, ignore_args=["cls"])
            def of_class(cls, name):
                return cls.__name__ + name

            @staticmethod
            @cache.cached(use_case="S", ttl=60)
            def static(name):
                return name

        with cache.enable():
            assert [Shop.of_class("x"), Shop().of_class("x"), Shop.static("y")] == [
                "Shopx",
                "Shopx",
                "y",
            ]
        assert figures(cache, "C")["loads"] == 1

    def test_parameters_may_have_any_name(self, cache):
        """A function whose parameters are called like names of ours works."""

        @cache.cached(use_case="N", ttl=60)
        def odd(scope, key, entry, plan, _cc_scope, Exception=1, type=2):  # noqa: N803
            return scope, key, entry, plan, _cc_scope, Exception, type

        with cache.enable():
            assert odd(1, 2, 3, 4, 5) == odd(1, 2, 3, 4, 5) == (1, 2, 3, 4, 5, 1, 2)
            with pytest.raises(TypeError, match="odd"):
                odd(1)

    def test_policy_and_shorthands_do_not_mix(self, cache):
        """policy= holds everything or nothing."""
        with pytest.raises(DeclarationError, match="policy="):
            cache.cached(use_case="P", ttl=1, policy=Policy(ttl=2))

    def test_wrong_settings_fail_at_construction(self):
        """All problems at once, each with its name."""
        with pytest.raises(ConfigurationError) as caught:
            Cache(namespace="a b", local_max_entries=0, nmespace="x")
        text = str(caught.value)
        assert "namespace" in text and "local_max_entries" in text and "nmespace" in text

    def test_wrong_redis_settings_fail_at_construction(self):
        """What the Redis layer refuses is refused before the first call."""
        with pytest.raises(ConfigurationError, match="port"):
            Cache(redis={"host": "localhost", "port": "many"})

    def test_unkeyable_arguments_run_uncached(self, cache, caplog):
        """A bad argument never breaks a call: it is counted, and warned about once with advice."""

        @cache.cached(use_case="U", ttl=60)
        def take(thing):
            return "value"

        with cache.enable():
            assert [take(object()), take(object())] == ["value", "value"]
        assert figures(cache, "U")["bypasses"]["all"]["unkeyable"] == 2
        (record,) = [r for r in caplog.records if "'U'" in r.getMessage()]
        assert "ignore_args" in record.getMessage()

    def test_an_id_without_text_runs_uncached(self, cache):
        """None is no id of an entity."""
        get = counted(cache)
        with cache.enable():
            get(None), get(None)
        assert len(get.runs) == 2

    def test_keys_are_shown_to_people(self, cache):
        """key() gives the URN for a call."""
        assert counted(cache).key(7).urn == "urn:row:7#Get"


class TestPolicies:
    def test_a_ramp_is_sticky_by_entity(self, cache):
        """At 50 % an entity is always in or always out, and growing the ramp keeps the members."""
        get = counted(cache, ramp=50)

        def members():
            inside = set()
            for number in range(200):
                with cache.enable():
                    before = len(get.runs)
                    get(number), get(number)
                    if len(get.runs) - before < 2:
                        inside.add(number)
            return inside

        half = members()
        assert 60 < len(half) < 140
        assert members() == half
        cache.override("Get", Policy(ramp=80))
        assert half < members()

    def test_an_override_of_everything(self, cache):
        """The name * reaches every use case; None takes it back."""
        get = counted(cache)
        cache.override("*", Policy(enabled=False))
        with cache.enable():
            get(1), get(1)
            assert len(get.runs) == 2
            cache.override("*", None)
            get(1), get(1)
        assert len(get.runs) == 3

    def test_an_unknown_use_case_is_refused(self, cache):
        """A typo in an override does not switch off nothing."""
        counted(cache)
        with pytest.raises(DeclarationError, match="Did you mean 'Get'"):
            cache.override("Gett", Policy(ramp=0))

    def test_each_value_has_its_source(self, clock):
        """policy() tells which tier every value comes from."""
        cache = Cache(clock=clock, default=Policy(ramp=90), use_cases={"Get": Policy(ttl_remote=5)})
        counted(cache)
        cache.override("Get", Policy(ramp_local=10))
        effective = cache.policy("Get")
        sources = {name: source for name, _, source in effective.rows()}
        assert sources["ttl_local"] == "code"
        assert sources["ttl_remote"] == "settings"
        assert sources["ramp_remote"] == "default"
        assert sources["ramp_local"] == "override"
        assert effective.local.ramp == 10 and effective.remote.ttl == 5

    def test_the_providers_values_are_shown_too(self, clock):
        """policy() asks the provider as a call does."""
        cache = Cache(clock=clock, provider=lambda use_case: Policy(ttl=7))
        counted(cache)
        assert cache.policy("Get").remote.ttl == 7
        assert ("ttl_local", 7.0, "provider") in cache.policy("Get").rows()

    @pytest.mark.parametrize("kind", ["callable", "coroutine", "snapshot"])
    def test_a_provider_counts_from_the_next_call(self, clock, kind):
        """Every kind of provider is asked for each call, so a change needs no restart."""
        answer = SimpleNamespace(snapshot={"Get": Policy(ttl=60)})

        async def coroutine(use_case):
            await asyncio.sleep(0)
            return answer.snapshot[use_case]

        providers = {
            "callable": lambda use_case: answer.snapshot[use_case],
            "coroutine": coroutine,
            "snapshot": answer,
        }
        cache = Cache(clock=clock, provider=providers[kind])
        get = counted(cache, ttl=None)
        with cache.enable():
            get(1), get(1)
            assert len(get.runs) == 1
            answer.snapshot = {"Get": Policy(enabled=False)}
            get(1)
            assert len(get.runs) == 2

    def test_an_async_provider_serves_async_functions(self, clock):
        """On an event loop the provider is awaited."""

        async def provider(use_case):
            await asyncio.sleep(0)
            return Policy(ttl=60)

        cache = Cache(clock=clock, provider=provider)
        runs = []

        @cache.cached(use_case="A")
        async def get():
            runs.append(1)

        async def main():
            with cache.enable():
                await get()
                await get()

        asyncio.run(main())
        assert len(runs) == 1

    def test_a_failing_provider_turns_the_layers_off(self, clock, caplog):
        """The call runs its loader, and a counter says why."""

        def provider(use_case):
            raise ConnectionError("no flags today")

        cache = Cache(clock=clock, provider=provider)
        get = counted(cache)
        with cache.enable():
            assert get(1)["run"] == 1
        assert figures(cache)["bypasses"]["all"]["policy_error"] == 1

    def test_own_limits_bound_a_use_case(self, cache):
        """A use case with limits of its own does not push out the others."""
        small = counted(
            cache, use_case="Small", ttl=None, policy=Policy(ttl=60, max_local_entries=10)
        )
        other = counted(cache)
        with cache.enable():
            other(1)
            for number in range(100):
                small(number)
        assert cache.stats()["local"]["entries"] == 11
        with cache.enable():
            other(1)
        assert len(other.runs) == 1


class TestSharing:
    def test_shared_values_are_the_same_object(self, cache):
        """By default callers get one object."""
        get = counted(cache)
        with cache.enable():
            first = get(1)
        with cache.enable():
            assert get(1) is first

    def test_copied_values_are_everybodys_own(self, cache):
        """With copy='copied' a caller's change is nobody else's, not even the first caller's."""
        get = counted(cache, ttl=None, policy=Policy(ttl=60, copy="copied"))
        for _ in range(3):
            with cache.enable():
                value = get(1)
                assert value == {"id": 1, "run": 1}
                value["id"] = "changed"
                assert get(1) == {"id": 1, "run": 1}

    def test_development_mode_names_the_use_case_that_is_changed(self, clock, caplog):
        """A caller that changes a shared value is found, once, by the use case's name."""
        cache = Cache(clock=clock, detect_mutation=True)
        get = counted(cache)
        with cache.enable():
            get(1)["id"] = "changed"
            get(1)
            get(1)
        assert len([r for r in caplog.records if "'Get'" in r.getMessage()]) == 1


class TestObserving:
    def test_every_request_is_accounted_for(self, cache):
        """The requests are the hits of all layers, the joined calls and the loads."""
        get = counted(cache)
        get(0)
        for _ in range(3):
            with cache.enable():
                get(1), get(1)
        found = figures(cache)
        assert found["calls_while_off"] == 1
        assert found["requests"] == 6
        assert found["hits"] == {"request": 3, "local": 2, "remote": 0}
        assert found["loads"] == 1
        assert found["misses"] == {"local": {"absent": 1}}

    def test_events_tell_the_story_of_a_call(self, clock):
        """A hook hears of misses, loads and bypasses, in order."""
        heard = []
        cache = Cache(clock=clock, hooks=[heard.append])
        get = counted(cache)
        with cache.enable():
            get(1), get(1)
            cache.override("Get", Policy(enabled=False))
            get(1)
        assert heard == [
            Missed("Get", Layer.LOCAL, Reason.ABSENT),
            Loaded("Get", 0.0),
            PolicyChanged("Get"),
            Bypassed("Get", None, Reason.SWITCHED_OFF),
            Loaded("Get", 0.0),
        ]

    def test_hits_are_sent_to_those_who_ask(self, clock):
        """A hook that names Hit among its events gets every one of them."""
        heard = []

        def hook(event):
            heard.append(event.layer.value)

        hook.events = (Hit,)
        cache = Cache(clock=clock, hooks=[hook])
        get = counted(cache)
        for _ in range(2):
            with cache.enable():
                get(1), get(1)
        assert heard == ["request", "local", "request"]

    def test_a_failing_hook_breaks_nothing(self, clock, caplog):
        """The call goes on and the log says which event was lost."""

        def hook(event):
            raise RuntimeError("broken exporter")

        cache = Cache(clock=clock, hooks=[hook])
        with cache.enable():
            assert counted(cache)(1)["run"] == 1
        assert any("hook failed" in record.getMessage() for record in caplog.records)

    def test_failures_of_a_layer_are_logged_once_in_a_while(self, clock, caplog):
        """An outage does not flood the log; the next message says how many were left out."""
        store = FakeStore(clock)
        heard = []
        cache = Cache(
            clock=clock,
            remote=store,
            hooks=[lambda event: heard.append(event) if isinstance(event, LayerFailed) else None],
        )
        get = counted(cache)
        store.down = True
        for _ in range(5):
            with cache.enable():
                get(1)
        clock.advance(31)
        with cache.enable():
            get(1)
        messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(messages) == 2 and "4 more" in messages[1]
        assert len(heard) == 6

    def test_the_figures_are_plain_data(self, cache):
        """json.dumps takes them."""
        import json

        counted(cache)
        assert json.loads(json.dumps(cache.stats())) == cache.stats()

    def test_counting_is_exact_under_threads(self, cache):
        """Counters are plain integers and still lose nothing."""
        get = counted(cache)
        start = threading.Barrier(8)

        def work():
            start.wait()
            with cache.enable():
                for _ in range(2_000):
                    get(1)

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(work) for _ in range(8)]:
                done.result()
        assert figures(cache)["requests"] == 16_000


class TestReconfiguring:
    def test_a_request_under_way_goes_past_the_cache(self, cache):
        """It cannot be told of invalidations any more, so it is served nothing old."""
        get = counted(cache)
        with cache.enable():
            get(1)
            cache.configure(namespace="other")
            cache.invalidate("row", 1)
            assert get(1)["run"] == 2
            assert get(1)["run"] == 3
        with cache.enable():
            assert get(1)["run"] == 4
            assert get(1)["run"] == 4

    def test_a_failing_transaction_hook_means_caution(self, cache, caplog):
        """When nobody can tell whether a transaction is open, nothing is kept; nothing breaks."""

        def broken():
            raise ConnectionError

        get = counted(cache)
        cache.watch_transactions(broken)
        with cache.enable():
            assert [get(1)["run"], get(1)["run"]] == [1, 2]
        assert figures(cache)["bypasses"]["all"]["uncommitted"] == 2


class TestHandlesOfMethods:
    @pytest.fixture
    def shop(self, cache):
        class Shop:
            @cache.cached(
                key_type="row", id_arg="id", arg_adapters={"self": lambda self: "x"}, ttl=60
            )
            def get(self, id):
                return id

            @classmethod
            @cache.cached(use_case="OfClass", ttl=60, ignore_args=["cls"])
            def of_class(cls, name):
                return name

        return Shop

    def test_they_take_the_object(self, cache, shop):
        """Called on the class with the object first, also for a subclass that overrides it."""

        class Special(shop):
            def get(self, id):
                return super().get(id)

        assert shop.get.key(shop(), 7).urn == shop.get.key(Special(), 7).urn
        assert shop.of_class.key(shop, "a").urn.startswith("urn:uc:OfClass")

    def test_without_the_object_they_refuse(self, cache, shop):
        """An argument in the object's place would name another entry without a word."""
        with pytest.raises(DeclarationError, match=r"TheClass\.get"):
            shop().get.invalidate(7, 7)


class TestDependencies:
    def test_declared_once_and_exposed(self, cache):
        """What the read path needs is at the declared function: things, late things, version."""

        def revision(id):
            return id

        get = counted(
            cache,
            tags=["a"],
            result_tags=lambda row: f"row {row['id']}",
            result_depends_on=lambda row: ("owner", row["id"]),
            version=revision,
        )
        own = get.cached_function
        things = own.identify(("Get", 7), (7,), {}).things
        assert things[2:4] + things[5:] == ("{row:*}", "{t:a}", "{row:7}")
        assert own.late({"id": 7}) == ("{owner:*}", "{owner:7}", "{t:row%207}")
        assert own.version is revision

    def test_most_functions_declare_none(self, cache):
        """Nothing late, no version."""
        own = counted(cache).cached_function
        assert (own.late, own.version) == (None, None)

    @pytest.mark.parametrize(
        "options",
        [
            {"tags": 7},
            {"depends_on": ("row", "other")},
            {"tenant": {"org": "org_id"}},
            {"result_tags": "a"},
            {"result_depends_on": ["row"]},
            {"version": 7},
            {"tags": [str(number) for number in range(64)]},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_a_declaration_that_fails_leaves_nothing_behind(self, cache, options):
        """It raises, and the name is still free."""
        with pytest.raises(DeclarationError, match=r"counted\.<locals>\.get: "):
            counted(cache, **options)
        assert cache.use_cases() == ()
        assert counted(cache)(1)["run"] == 1

    def test_a_failing_callable_never_breaks_a_call(self, cache, caplog):
        """The call runs uncached, is counted, and the log names the callable and its error."""

        def tags(id):
            raise LookupError("no such row")

        get = counted(cache, tags=tags)
        with cache.enable():
            assert [get(1)["run"], get(1)["run"]] == [1, 2]
        assert figures(cache)["bypasses"]["all"]["unkeyable"] == 2
        (record,) = [r for r in caplog.records if "'Get'" in r.getMessage()]
        assert ".tags): LookupError: no such row" in record.getMessage()

    @pytest.mark.parametrize("nobody", [None, ""])
    def test_calls_of_nobody_are_logged_once(self, cache, caplog, nobody):
        """They are refused each time; the log says which level has no id, and why."""
        get = counted(cache, tenant={"org": lambda _: nobody})
        with cache.enable():
            for _ in range(2):
                with pytest.raises(TenantMissing):
                    get(1)
        (record,) = [r for r in caplog.records if "'Get'" in r.getMessage()]
        assert "tenant['org'] (" in record.getMessage()
        assert "'org' has the id" in record.getMessage()

    def test_two_tenants_share_nothing(self, cache):
        """C1: not even where the tenant is ignored or hidden in another argument."""
        current = SimpleNamespace(org=1)

        @cache.cached(use_case="Report", ttl=60, tenant={"org": lambda: current.org})
        def report():
            return current.org

        def of(org):
            current.org = org
            with cache.enable():
                return report()

        assert [of(1), of(2), of(1), of(2)] == [1, 2, 1, 2]
        assert figures(cache, "Report")["loads"] == 2

    def test_coroutine_functions_take_the_same(self, cache):
        """Callables are plain, the function is awaited."""
        runs = []

        @cache.cached(use_case="A", ttl=60, tags=lambda row_id: f"a {row_id}", tenant={"org": "id"})
        async def get(id):
            runs.append(id)

        async def request():
            with cache.enable():
                await get(1)

        for number in (1, 1, 2):
            asyncio.run(request())
            if number == 1:
                cache.invalidate_tags("a 2")
        assert len(runs) == 1
        cache.invalidate_tags("a 1")
        asyncio.run(request())
        assert len(runs) == 2


class TestCallsNotMadeYet:
    def test_a_partial_is_a_call(self, cache):
        """Function, local key and arguments: those of the call that the wrapper would make."""
        asked = []

        @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=60, tags=asked.append)
        def get(id, /):
            return id

        @cache.cached(key_type="row", id_arg="id", use_case="More", ttl=60)
        def more(id, lang="en", *, page=1, **rest):
            return id

        assert call_of(partial(get, 7)) == (get.cached_function, ("Get", 7), (7,), {})
        expected = ("More", 7, "en", 2, ("~dict(a=3)",))
        own, key, args, kwargs = call_of(partial(partial(more, page=2), 7, a=3))
        assert (own, key) == (more.cached_function, expected)
        assert (args, kwargs) == ((7, "en"), {"page": 2, "a": 3})
        assert asked == []

    def test_its_key_finds_the_entry(self, cache):
        """What the call has kept is what the partial asks for."""
        get = counted(cache)
        with cache.scope() as scope:
            value = get(id=7)
            assert scope.memo[call_of(partial(get, 7)).key].value is value

    def test_a_partial_of_a_method(self, cache):
        """Bound to its object, or given it."""

        class Shop:
            @cache.cached(
                key_type="row", id_arg="id", arg_adapters={"self": lambda self: "x"}, ttl=60
            )
            def get(self, id):
                return id

            @classmethod
            @cache.cached(use_case="OfClass", ttl=60, ignore_args=["cls"])
            def of_class(cls, name):
                return name

        shop = Shop()
        assert call_of(partial(shop.get, 7)) == call_of(partial(Shop.get, shop, id=7))
        assert call_of(partial(shop.get, 7)).args == (shop, 7)
        assert call_of(partial(Shop.of_class, "a")).args == (Shop, "a")
        with pytest.raises(DeclarationError, match=r"TheClass\.get"):
            call_of(partial(Shop.get, 7))

    def test_what_is_not_cached_is_refused(self, cache):
        """A plain function, and one behind another decorator, which may call anything."""

        @wraps(counted(cache))
        def other(id):
            return 0

        for function in (len, other, other.uncached):
            with pytest.raises(DeclarationError, match=r"is not a cached function.*what @cached"):
                call_of(partial(function, 7))

    def test_what_is_no_partial_is_refused(self, cache):
        """A call that was made already, or a function without its arguments."""
        get = counted(cache)
        for given in (get, get(7), "get"):
            with pytest.raises(DeclarationError, match=r"functools\.partial\(function, arguments"):
                call_of(given)

    def test_wrong_arguments_are_reported_as_by_python(self, cache):
        """As the call itself would."""
        get = counted(cache)
        with pytest.raises(TypeError, match=r"get\(\) missing 1 required"):
            call_of(partial(get))
        with pytest.raises(UnkeyableValue, match="'id'"):
            call_of(partial(get, None))


def test_hot_keys_are_those_read_most():
    """Each request that reads a key counts, as far as a sample tells."""
    cache = Cache(remote=FakeStore(FakeClock()), clock=FakeClock())

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    def get_row(id):
        return id

    for number in range(800):
        with cache.enable():
            get_row(1 if number % 4 else 2)
    hottest = cache.hot_keys()
    assert [hot.key for hot in hottest] == [
        str(get_row.key(1).storage),
        str(get_row.key(2).storage),
    ]
