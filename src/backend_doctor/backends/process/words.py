"""Sizes, spans and processes as people say them."""

from backend_doctor.backends.process.connection import Member

_MIB = 2**20


def size(count: float) -> str:
    """Bytes in MiB or GiB."""
    if abs(count) >= 1024 * _MIB:
        return f"{count / _MIB / 1024:.1f} GiB"
    return f"{count / _MIB:.{0 if abs(count) >= 100 * _MIB else 1}f} MiB"


def span(seconds: float) -> str:
    """Seconds in the unit that fits: ``45 s``, ``10 min``, ``2.5 h``, ``3 days``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def who(member: Member) -> str:
    """Such as ``worker 4711 (uvicorn)``."""
    role = "process" if member.role == "main" else member.role
    return f"{role} {member.pid} ({member.name})"
