"""Two unrelated faults at once in one service: neither explains the other."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.leak_idle_in_transaction import LeakIdleInTransaction
from tests.scenarios.redis_maxclients import RedisMaxclients

SCENARIO = Scenario("X01", (Placement(LeakIdleInTransaction()), Placement(RedisMaxclients())))
