"""Who answered, what to write there, and how strange origins are made up."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_doctor.backends.cors.denial_rules import DENIALS
from backend_doctor.backends.cors.hole_rules import HOLES
from backend_doctor.backends.cors.recipes import RECIPES
from backend_doctor.backends.cors.remedies import cure
from backend_doctor.backends.cors.stacks import UNKNOWN, Layers, author_of, layers_of
from backend_doctor.backends.cors.strangers import GUISES, disguised, domain_of

UVICORN = {"server": "uvicorn", "content-type": "text/plain"}
ANSWERS = {
    "fastapi": ({}, '{"detail":"Method Not Allowed"}', "starlette"),
    "starlette": (UVICORN, "Not Found", "starlette"),
    # Koa and others say the same
    "plain": ({"content-type": "text/plain"}, "Not Found", ""),
    "any-asgi": (UVICORN, "[]", ""),
    "nginx": (
        {"server": "nginx/1.22.1"},
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
        "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n",
        "nginx",
    ),
    "behind-nginx": ({"server": "nginx"}, '{"detail":"Not Found"}', "starlette"),
    "passed-on": ({"server": "nginx"}, "{}", ""),
}


@pytest.mark.parametrize(("headers", "body", "author"), ANSWERS.values(), ids=ANSWERS)
def test_the_author_by_its_own_words(headers: dict[str, str], body: str, author: str) -> None:
    assert author_of(headers, body) == author


def test_one_telling_answer_is_enough() -> None:
    seen = layers_of([("", {"server": "nginx"}), ("starlette", {"server": "nginx"}), ("", {})])
    assert seen == Layers("starlette", "nginx")
    assert layers_of([("", {"server": "Werkzeug/3.1"})]) == Layers("flask", "")
    assert layers_of([]) == UNKNOWN


def test_every_cause_has_its_recipe_and_every_recipe_its_cause() -> None:
    named = {row.cure for row in DENIALS.values()} | {hole.cure for hole in HOLES.values()}
    assert named | {"vary", "expose"} == RECIPES.keys()


@pytest.mark.parametrize("cause", RECIPES)
@pytest.mark.parametrize("application", ["starlette", "flask", "django", ""])
def test_what_to_write_is_for_the_stack_that_is_there(cause: str, application: str) -> None:
    words = ["https://a.example", "x-a"]
    remedy = cure(cause, Layers(application, ""), origins=words, methods=["PUT"], headers=words)
    lines = RECIPES[cause].lines
    assert ("# nginx" in remedy.command) is (application not in lines and len(lines) > 1)
    for word in ("{origins", "{methods", "{headers", "{bare_", "{mapped"):
        assert word not in remedy.command


def test_both_are_named_where_either_may_be_at_fault() -> None:
    command = cure("duplicate", Layers("django", "nginx")).command
    assert command.index("# Django") < command.index("# nginx")
    assert "Flask" not in command
    assert "nginx" not in cure("origin", Layers("django", "nginx"), origins=["https://a"]).command


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("app.shop.example", "shop.example"),
        ("shop.example", "shop.example"),
        ("app.shop.co.uk", "shop.co.uk"),
        ("a.b.shop.de", "shop.de"),
    ],
)
def test_what_can_be_bought_of_a_name(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_the_guises_of_an_origin() -> None:
    made = {guise: disguised(guise, "https://app.shop.example", "xa") for guise in GUISES}
    assert made == {
        "any": "https://xa.example",
        "slash": "https://app.shop.example/",
        "null": "null",
        "prefix": "https://app.shop.example.xa.example",
        "suffix": "https://xashop.example",
        "substring": "https://app.shop.exampl",
        "dot": "https://appashop.example",
        "plain": "http://app.shop.example",
        "subdomain": "https://xa.shop.example",
    }


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://localhost:3000", "null", "x"])
def test_no_likeness_of_what_has_no_domain(origin: str) -> None:
    for guise in ("suffix", "dot", "subdomain", "plain"):
        assert disguised(guise, origin, "xa") == ""


@given(st.one_of(st.text(), st.text().map("https://".__add__)), st.sampled_from([*GUISES]))
def test_whatever_is_declared_no_guise_is_that_origin_itself(origin: str, guise: str) -> None:
    made = disguised(guise, origin, "doctora")
    assert made != origin or made in ("", "null")
    if made not in ("", "null") and guise not in ("slash", "substring"):
        assert urlsplit(made).scheme in ("http", "https", urlsplit(origin).scheme)
