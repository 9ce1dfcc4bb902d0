"""A leak and an origin that is not listed: unrelated, so two roots."""

from tests.scenarios.cors_origin_not_allowed import CorsOriginNotAllowed
from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.leak_idle_in_transaction import LeakIdleInTransaction

SCENARIO = Scenario("X05", (Placement(LeakIdleInTransaction()), Placement(CorsOriginNotAllowed())))
