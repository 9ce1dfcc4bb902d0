"""What a user did that cannot be carried out."""


class UserError(Exception):
    """Bad input: the message says place, cause and next step; the run ends with exit code 3."""


class ConfigurationError(UserError):
    """The configuration cannot be used; the message says where, why, and what to do next."""
