"""What has a name within a schema: tables, sequences, indexes."""

import msgspec

from backend_doctor.backends.sql import quote_identifier


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A relation by ``schema`` and ``name``."""

    schema: str
    name: str

    @property
    def place(self) -> str:
        """Schema and name, for people and as a subject."""
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """Schema and name as SQL reads them."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"
