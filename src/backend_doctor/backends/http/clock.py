"""What an answer's Date tells of the server's clock."""

from collections.abc import Mapping

# uvicorn and others renew the Date once a second and cut it to the second: it was measured to be
# up to 1.7 s behind, and nginx's up to 0.04 s ahead
_BEHIND, _AHEAD = 1.7, 0.1


def clock_ahead(
    headers: Mapping[str, str], seconds: float, heard: float
) -> tuple[float, float] | None:
    """The least and the most seconds by which a server's clock is ahead of ours (negative where
    it is behind), by an answer that took ``seconds`` and was ``heard`` at this Unix time.

    None without a Date that can be read, and for an answer of a cache, whose Date is old.
    """
    if "date" not in headers or headers.get("age", "0").strip() != "0":
        return None
    import datetime
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(headers["date"])
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        date = moment.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return round(date - _AHEAD - heard, 2), round(date + _BEHIND + seconds - heard, 2)
