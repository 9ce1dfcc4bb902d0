"""Makes prepared transactions older than they are, while their server is down."""

import struct
from functools import cache
from pathlib import Path

_PREPARED_AT = 16  # after magic, length, transaction and database of 4 bytes each


def age_prepared(data: Path, seconds: float) -> int:
    """Moves back when each was prepared, in the files of a server that was stopped in order;
    returns how many there were."""
    files = [*(data / "pg_twophase").iterdir()]
    for file in files:
        content = bytearray(file.read_bytes()[:-4])
        (at,) = struct.unpack_from("<q", content, _PREPARED_AT)
        struct.pack_into("<q", content, _PREPARED_AT, at - round(seconds * 1e6))
        file.write_bytes(content + struct.pack("<I", _crc32c(content)))
    return len(files)


@cache
def _table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


def _crc32c(content: bytes | bytearray) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _table()[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
