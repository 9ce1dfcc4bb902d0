"""cors.reachability: the judgement is shared with other backends."""

from tests.checks.web_reachability import WebReachability


class TestReachability(WebReachability):
    kind = "cors"
