"""MongoDB's connections, rights and statements, against real servers."""

import asyncio
import json
import re
import time
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from tests.backends.mongodb_looks import CANARY, MakeMongo, holding, log_in, look, opened, ours
from tests.safety.client import wait_until
from tests.safety.tool import check, run

from backend_doctor.backends.mongodb.connection import COMMANDS, allow
from backend_doctor.backends.mongodb.connections import MongoConnections
from backend_doctor.demo.servers import MongoServer, free_port
from backend_doctor.facts import Absent, Problem


def test_facts_of_a_real_server_and_nothing_is_left(mongod: MongoServer) -> None:
    assert wait_until(lambda: not ours(mongod))
    with holding(mongod, 7):
        login, connections = look(mongod.admin_url())
        assert (login.problem, login.server, login.notes) == (Problem.NONE, "MongoDB 6.0.5", ())
        assert connections.most == 60
        assert connections.used is not None
        assert 7 <= connections.used <= 9, "the fixture's own clients end a moment later"
    assert wait_until(lambda: not ours(mongod), 2)


def test_two_connections_and_our_name(mongod: MongoServer) -> None:
    async def session() -> list[Any]:
        _, connection = await opened(mongod.admin_url())
        found = await asyncio.to_thread(ours, mongod)
        await connection.close()
        return found

    found = asyncio.run(session())
    assert len(found) == 2
    assert wait_until(lambda: not ours(mongod), 2)


def test_a_member_of_a_set_and_a_wrong_set_name(make_mongo: MakeMongo) -> None:
    server = make_mongo(replica_set="rs0", password=CANARY)
    assert log_in(server.admin_url() + "&replicaSet=rs0").ok
    wrong = log_in(server.admin_url() + "&replicaSet=rs1")
    assert (wrong.problem, wrong.code) == (Problem.OTHER, "replicaSet")
    assert "a member of the set rs0" in wrong.message
    alone = make_mongo()
    assert "no member of a set" in log_in(alone.url() + "?replicaSet=rs0").message
    dead = f"127.0.0.1:{free_port()}"
    url = server.admin_url().replace("@127.0.0.1", f"@{dead},127.0.0.1")
    passed_over = log_in(url)
    assert passed_over.ok
    assert passed_over.notes[0].startswith(f"{dead} was passed over: ")


def test_a_missing_right_comes_with_its_remedy(make_mongo: MakeMongo) -> None:
    server = make_mongo(password="x")
    roles = [{"role": "readWrite", "db": "shop"}]
    server.command("createUser", 'a"pp', pwd=CANARY, roles=roles)
    url = server.url('a"pp', CANARY)

    async def blind() -> Absent:
        login, connection = await opened(url)
        with pytest.raises(Absent) as found:
            await MongoConnections.collect(connection, login)
        await connection.close()
        return found.value

    absence = asyncio.run(blind()).absence
    assert absence.remedy == allow('a"pp')
    assert '"a\\"pp", ["clusterMonitor"]' in absence.remedy
    server.command("grantRolesToUser", 'a"pp', roles=["clusterMonitor"])
    assert look(url)[1].most == 60


def test_the_printed_grants_are_enough_and_no_more(make_mongo: MakeMongo) -> None:
    server = make_mongo(password="x")
    printed = run("grants", "mongodb", "--role", 'wa"tch').out
    user, roles = re.findall(r'user: (".*"), pwd: passwordPrompt\(\), roles: (\[.*\])', printed)[0]
    assert json.loads(user) == 'wa"tch'
    server.command("createUser", json.loads(user), pwd=CANARY, roles=json.loads(roles))
    ran = check("--window", "0", MONGO=server.url('wa"tch', CANARY))
    assert ran.code == 0, ran.out
    assert {f["check"] for f in ran.findings()} == {"mongodb.reachability", "mongodb.connections"}
    server.command("insert", "orders", database="shop", documents=[{"a": 1}])
    with MongoClient[dict[str, Any]](server.url('wa"tch', CANARY)) as watcher:
        for act in (
            lambda: watcher.shop.orders.find_one(),
            lambda: watcher.shop.orders.insert_one({}),
            lambda: watcher.shop.command("profile", 2),
            lambda: watcher.admin.command("setParameter", 1, logLevel=1),
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                act()


def test_a_full_server_is_told_every_time(make_mongo: MakeMongo) -> None:
    server = make_mongo(settings={"maxConns": 8})
    with holding(server, 9):
        for _ in range(20):
            login = log_in(server.url())
            assert login.problem is Problem.FULL, login
            assert login.seconds < 1
        full = asyncio.run(MongoConnections.collect(None, login))
        assert (full.refused, full.share) == (True, 1.0)
        ran = check("--connect-timeout", "3", "--window", "0", MONGO=server.url())
        assert ran.causes() == {"reach.full", "mongo.connections_exhausted"}
        assert ran.report["summary"]["roots"] == 1, "the refusal folds under the exhaustion"
    assert wait_until(lambda: log_in(server.url()).ok)


def test_room_for_one_is_too_little_and_told_as_full(make_mongo: MakeMongo) -> None:
    server = make_mongo(settings={"maxConns": 8})
    time.sleep(0.3)
    # mongod takes one more than it says, and a session of ours needs two
    with holding(server, 8):
        login = log_in(server.url())
    assert login.problem is Problem.FULL, login


def test_statements_are_counted_and_only_ours(mongod: MongoServer) -> None:
    async def session() -> int:
        _, connection = await opened(mongod.admin_url())
        for name in ("insert", "killOp", "find", "profile", "setParameter", "shutdown"):
            with pytest.raises(ValueError, match="not among"):
                await connection.command(name)
        await connection.command("ping")
        await connection.close()
        return connection.statements

    assert asyncio.run(session()) == 2
    assert {"buildInfo", "ping", "listDatabases", "serverStatus"} == COMMANDS
