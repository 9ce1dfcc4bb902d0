"""Whatever a target says, no format lets it do anything to the reader."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reports.strategies import reports

from backend_doctor.model import Report
from backend_doctor.reports import FORMATS, RenderOptions, render

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_INVISIBLE = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_options = st.builds(
    RenderOptions,
    width=st.sampled_from((40, 80, 200)),
    unicode=st.booleans(),
    quiet=st.booleans(),
    verbose=st.integers(0, 2),
    exit_code=st.none() | st.sampled_from((0, 3, 130)),
)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=reports, options=_options)
def test_output_is_harmless_text(format: str, report: Report, options: RenderOptions) -> None:
    rendered = render(format, report, options)
    rendered.encode("utf-8")
    assert not _CONTROLS.search(rendered)
    assert not _INVISIBLE.search(rendered)
    assert rendered.endswith("\n") or (rendered == "" and options.quiet)
    if not options.unicode and format != "prometheus":
        assert rendered.isascii()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=reports)
def test_colour_adds_nothing_but_our_own_sequences(report: Report) -> None:
    plain = render("text", report, RenderOptions())
    painted = render("text", report, RenderOptions(color=True))
    assert re.sub(r"\x1b\[(?:0|2|32|1;3[0-9])m", "", painted) == plain
