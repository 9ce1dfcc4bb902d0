"""Who explains whom: nests symptoms beneath root causes and puts the worst root first."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import reduce

import msgspec

from backend_doctor.model import Fold, Result, Status, Subject

# what names a thing only within one server; everything else is known across a service
_LOCAL_KINDS = frozenset({"pid", "query", "table", "slot", "prepared", "server_setting"})
# what is at work now; a table or a setting may do harm some day
_ACUTE_KINDS = frozenset({"pid", "query", "application", "endpoint", "error", "login"})
_ALARMING = frozenset({Status.WARNING, Status.CRITICAL})


class _Node(msgspec.Struct):
    result: Result
    scoped: dict[tuple[str, Subject], Subject]
    parent: "_Node | None" = None
    shared: tuple[Subject, ...] = ()
    children: list["_Node"] = []

    @property
    def top(self) -> "_Node":
        return self if self.parent is None else self.parent.top

    @property
    def cause(self) -> str:
        return self.result.finding.cause.label if self.result.finding.cause else ""

    @property
    def own_rank(self) -> tuple[int, int]:
        finding = self.result.finding
        return (finding.status.severity, finding.cause.confidence.rank if finding.cause else -1)


def _same_thing(one: _Node, other: _Node) -> bool:
    """Two leaks of a server that refuses us share its login, and are two leaks all the same."""
    mine, theirs = ({key for key in node.scoped if key[1].kind != "login"} for node in (one, other))
    return bool(mine & theirs) or not (mine and theirs)


def _explains(root: _Node, symptom: _Node) -> bool:
    finding, other = root.result.finding, symptom.result.finding
    if finding.status not in _ALARMING or root.result.service != symptom.result.service:
        return False
    if other.status is Status.UNKNOWN and not symptom.cause:
        return bool(root.cause) and root.result.instance == symptom.result.instance
    if other.status not in _ALARMING:
        return False
    if symptom.cause == root.cause and root.cause:
        return root.own_rank >= symptom.own_rank and _same_thing(root, symptom)
    return symptom.cause in finding.explains if symptom.cause else False


def _shared(one: _Node, other: _Node) -> list[tuple[str, Subject]]:
    """What both are about. Two findings that name sessions of one server must share a session
    there: that the application is the same says nothing of which of its sessions."""
    shared = sorted(one.scoped.keys() & other.scoped.keys())
    mine, theirs = (
        {scope for scope, subject in node.scoped if subject.kind in _LOCAL_KINDS}
        for node in (one, other)
    )
    if mine & theirs:
        return [key for key in shared if key[1].kind in _LOCAL_KINDS]
    return shared


def _reach(root: _Node, shared: list[tuple[str, Subject]]) -> tuple[int, int, int]:
    severity, confidence = root.own_rank
    return (severity, len(shared), confidence)


def _fold(nodes: list[_Node]) -> None:
    for symptom in nodes:
        roots = (node for node in nodes if node is not symptom and node.top is not symptom)
        shares = [
            (root, shared)
            for root in roots
            if _explains(root, symptom) and (shared := _shared(root, symptom))
        ]
        if shares:
            # of two that explain it, the one that has to do with more of it
            root, shared = max(shares, key=lambda one: _reach(*one))
            symptom.parent = root
            symptom.shared = tuple(symptom.scoped[key] for key in shared)
    for node in nodes:
        if node.parent is not None:
            node.top.children.append(node)


def _scoped(result: Result, address: str) -> dict[tuple[str, Subject], Subject]:
    found: dict[tuple[str, Subject], Subject] = {}
    for subject in result.finding.subjects:
        local = subject.kind in _LOCAL_KINDS
        scope = (subject.server or address) if local else result.service
        found[scope, msgspec.structs.replace(subject, server="")] = subject
    return found


def _place(result: Result) -> tuple[str, str, str]:
    return (result.service, result.backend, result.instance)


def _spared(result: Result, earlier: Result) -> Result:
    """The result without the indexes that an earlier one of the same server builds: one that
    begins with their columns serves both."""
    finding, known = result.finding, earlier.finding.remedies
    for theirs in known:
        served = [
            own for own in finding.remedies if own.builds == theirs.builds[: len(own.builds)] != ()
        ]
        if not served:
            continue
        # nor need they be told twice what to look at before and after
        commands = {one.command for one in (*known, *served)}
        table, *columns = theirs.builds
        note = f"the index of {earlier.check} on {table} ({', '.join(columns)}) serves it too"
        finding = msgspec.structs.replace(
            finding,
            remedies=tuple(own for own in finding.remedies if own.command not in commands),
            notes=(note, *finding.notes),
        )
    return msgspec.structs.replace(result, finding=finding)


def diagnose(
    results: Iterable[Result], addresses: Mapping[tuple[str, str, str], str]
) -> tuple[Result, ...]:
    """The results in reading order, each symptom right after the root that explains it.

    A finding folds under another of the same service only if that one lists its cause in
    ``explains`` (or names the same cause) and both share a subject. ``addresses`` maps
    (service, backend, instance) to the server, within which pids and query ids are unique. What
    one root builds, a later one does not build again.
    """
    nodes = [
        _Node(result, _scoped(result, addresses.get(_place(result), ""))) for result in results
    ]
    _fold(nodes)
    roots = [node for node in nodes if node.parent is None]

    def weight(node: _Node) -> tuple[int, bool, int, bool, int]:
        worst = max(n.result.finding.status.severity for n in (node, *node.children))
        acute = any(subject.kind in _ACUTE_KINDS for _, subject in node.scoped)
        return (worst, bool(node.cause), len(node.children), acute, node.own_rank[1])

    ordered: list[Result] = []
    told: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for root in sorted(roots, key=weight, reverse=True):
        earlier = told[_place(root.result)]
        earlier.append(reduce(_spared, earlier, root.result))
        ordered.append(earlier[-1])
        for child in sorted(root.children, key=lambda node: node.own_rank, reverse=True):
            fold = Fold(under=root.result.id, shared=child.shared)
            ordered.append(msgspec.structs.replace(child.result, explained_by=fold))
    return tuple(ordered)
