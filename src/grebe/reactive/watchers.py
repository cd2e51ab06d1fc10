"""Who watches what: live documents by id, live results by the scope of their query.

A look-up costs what it finds, however many others there are: where several results ask for values
of a field, they are found by the value (routes.py), only the others of the same scope are asked one
by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from grebe.documents.models import Adapter
from grebe.reactive.live import LiveDocument, LiveResult, Marks
from grebe.reactive.observer import Observer
from grebe.reactive.routes import Route, routing_condition


class ScopeResults:
    """The live results over one collection, or over one group of collections."""

    __slots__ = ("alone", "asked", "by_key", "impure", "routes")

    def __init__(self) -> None:
        self.alone: dict[Hashable, Any] = {}
        """By the key of a route that there is not: a result that it would lead to. To ask one costs
        less than to find out whether to."""
        self.by_key: dict[Hashable, Any] = {}
        self.asked: dict[Any, None] = {}
        """Those that look at every write of the scope, and the routes to the others."""
        self.impure: set[Any] = set()
        """Those that call functions of the user, which may read other results."""
        self.routes: dict[Hashable, Route] = {}
        """By the field whose value says which writes concern a result, as it is read."""

    def add(self, live: Any, *, routed: bool) -> None:
        """Add a live result; `routed`: its documents are read as those of the whole scope are."""
        self.by_key[live.key] = live
        if not live.is_pure:
            self.impure.add(live)
        condition = routing_condition(live.query) if routed else None
        if condition is None:
            self.asked[live] = None
            return
        source = live.query.source
        key = condition.path, source._adapter()
        route = self.routes.get(key)
        if route is None:
            if key not in self.alone:
                self.alone[key] = live
                self.asked[live] = None
                return
            other = self.alone.pop(key)
            del self.asked[other]
            route = self.routes[key] = Route(key, condition.path, source)
            self.asked[route] = None
            route.add(other)
        route.add(live)

    def remove(self, live: Any) -> None:
        """Remove a live result that is there."""
        del self.by_key[live.key]
        self.impure.discard(live)
        route = live.route
        if route is None:
            del self.asked[live]
            for key in [key for key, one in self.alone.items() if one is live]:
                del self.alone[key]
            return
        route.remove(live)
        if not route:
            del self.routes[route.key], self.asked[route]


class Watchers:
    """All live values of a store. The store's lock is held."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, list[LiveDocument]]] = {}
        """Live documents by collection and id."""
        self.results: dict[str, ScopeResults] = {}
        """Live results by scope."""
        self.groups: set[str] = set()
        """Scopes of groups of collections among them."""

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.documents or self.results)

    def add_document(self, live: LiveDocument) -> None:
        """Add the live value of a document."""
        ids = self.documents.setdefault(live.doc.parent.path, {})
        ids.setdefault(live.doc.id, []).append(live)

    def remove_document(self, live: LiveDocument) -> None:
        """Forget the live value of a document, if it is there."""
        collection, document_id = live.doc.parent.path, live.doc.id
        alike = self.documents.get(collection, {}).get(document_id, [])
        if live in alike:
            alike.remove(live)
            if not alike:
                del self.documents[collection][document_id]
                if not self.documents[collection]:
                    del self.documents[collection]

    def of_documents(self, scope: str, marks: Marks) -> Iterable[LiveDocument]:
        """Return the live values of marked documents. O(the fewer of both)."""
        observed = self.documents.get(scope)
        if not observed:
            return ()
        fewer = marks if len(marks) < len(observed) else observed
        return [live for i in fewer if i in marks and i in observed for live in observed[i]]

    def result(
        self, scope: str, key: Hashable, make: Callable[[], LiveResult], adapter: Adapter | None
    ) -> Any:
        """Return the live result with this key, made if need be.

        `adapter` is how documents of the scope are read by those who ask for no other way.
        """
        results = self.results.get(scope)
        live = None if results is None else results.by_key.get(key)
        if live is None:
            live = make()
            if results is None:
                results = self.results[scope] = ScopeResults()
                if scope.startswith("/"):
                    self.groups.add(scope)
            results.add(live, routed=live.query.source._adapter() is adapter)
        return live

    def remove_result(self, live: LiveResult) -> None:
        """Forget a live result, if it is there."""
        results = self.results.get(live.scope)
        if results is not None and results.by_key.get(live.key) is live:
            results.remove(live)
            if not results.by_key:
                del self.results[live.scope]
                self.groups.discard(live.scope)

    def observers(self) -> list[Observer[Any, Any]]:
        """Return the observers of all of them."""
        found = [
            live.observer
            for ids in self.documents.values()
            for alike in ids.values()
            for live in alike
        ]
        for results in self.results.values():
            for live_result in results.by_key.values():
                found += live_result.observers
        return found

    def check(self) -> None:
        """Raise AssertionError if a kept result differs from one made anew."""
        for results in self.results.values():
            for live in results.by_key.values():
                live.check()
                assert (live in results.asked) is (live.route is None), f"{live.name} is lost"
            for key, live in results.alone.items():
                assert live in results.asked, f"{live.name} is lost"
                assert key not in results.routes, f"{live.name} is beside its route"
            for route in results.routes.values():
                assert route in results.asked, f"the route by {route.path} is lost"
                route.check()
