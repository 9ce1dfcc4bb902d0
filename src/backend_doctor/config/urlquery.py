"""The parameters behind a URL's question mark."""

from backend_doctor.config.urlparts import Parts
from backend_doctor.place import did_you_mean, fault, listed
from backend_doctor.secret import Secret


class Query:
    """A URL's parameters, each taken once; what is left are its options."""

    def __init__(self, parts: Parts, place: str) -> None:
        self._left = list(parts.query)
        self._place = place
        for key in ("sslpassword", "ssl_password", "tlscertificatekeyfilepassword"):
            if self.take(key):
                raise fault(place, f"{key} is not supported", "a key file without a passphrase")

    def take(self, *keys: str) -> str | None:
        """The last value of the first key that is there."""
        for key in keys:
            values = self.take_all(key)
            if values:
                return values[-1]
        return None

    def take_all(self, key: str) -> list[str]:
        """All values of a key (in lower case), however it is spelled: MongoDB's ignores case."""
        values = [value for name, value in self._left if name.lower() == key]
        self._left = [pair for pair in self._left if pair[0].lower() != key]
        return values

    def choose(self, key: str, known: dict[str, str], default: str) -> str:
        """What the value of a key stands for; ``default`` without it."""
        value = self.take(key)
        if value is None:
            return default
        if value.lower() not in known:
            hint = did_you_mean(value, known)
            raise fault(self._place, f"{key}= has an unknown value", listed(known), hint)
        return known[value.lower()]

    @property
    def rest(self) -> tuple[tuple[str, str], ...]:
        """The parameters that nothing took."""
        return tuple(self._left)


def first_secret(*values: str | None) -> Secret | None:
    """The first value that is not empty."""
    return next((Secret(value) for value in values if value), None)
