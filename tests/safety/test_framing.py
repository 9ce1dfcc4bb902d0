"""The guard before asyncpg's parser: every true stream passes, however cut; no false one does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.servers.listener import BANNERS

from backend_doctor.backends.postgres.framing import Frames, FramingError

_message = st.builds(
    lambda kind, body: bytes([kind]) + (len(body) + 4).to_bytes(4) + body,
    st.sampled_from(b"RKZESCDTtHGWdcsnI123NAVv"),
    st.binary(max_size=40),
)


def feed(stream: bytes, size: int) -> None:
    frames = Frames()
    for start in range(0, len(stream), size):
        frames.feed(stream[start : start + size])


@given(messages=st.lists(_message, max_size=8), size=st.integers(1, 64))
def test_messages_pass_in_pieces_of_any_size(messages: list[bytes], size: int) -> None:
    feed(b"".join(messages), size)


@given(messages=st.lists(_message, max_size=3), size=st.integers(1, 64), length=st.integers(-9, 3))
def test_an_impossible_length_is_refused(messages: list[bytes], size: int, length: int) -> None:
    with pytest.raises(FramingError):
        feed(b"".join(messages) + b"D" + length.to_bytes(4, signed=True) + b"rest", size)


@given(messages=st.lists(_message, max_size=3), size=st.integers(1, 64))
def test_a_length_that_no_server_can_send_is_refused(messages: list[bytes], size: int) -> None:
    with pytest.raises(FramingError):
        feed(b"".join(messages) + b"D\x7f\xff\xff\xff", size)


@pytest.mark.parametrize("protocol", BANNERS)
def test_other_protocols_are_refused(protocol: str) -> None:
    with pytest.raises(FramingError):
        feed(b"".join(BANNERS[protocol]), 1)
