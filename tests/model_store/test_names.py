from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.errors import BadName, BadReference
from model_store.layout import numbers
from model_store.names import check_alias, check_name, check_path, is_name, parse_model, parse_reference
from tests.model_store.patience import PATIENT

FIRST = string.ascii_lowercase + string.digits
REST = FIRST + "._-"
NAMES = st.builds(str.__add__, st.sampled_from(FIRST), st.text(REST, max_size=63))


@PATIENT
@given(NAMES)
def test_every_name_of_the_rule_is_a_name(name: str) -> None:
    assert check_name(name) == name
    assert parse_model(f"{name}@champion") == (name, "champion")


@PATIENT
@given(st.text(max_size=70))
def test_nothing_else_is_a_name(text: str) -> None:
    fits = 1 <= len(text) <= 64 and text[0] in FIRST and set(text) <= set(REST)
    assert is_name(text) == fits
    if not fits:
        with pytest.raises(BadName):
            check_name(text)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "A", "a\n", "é", "a" * 65, "-a", "a b", "a\0", None, 3, b"a"]
)
def test_bad_names_are_refused(name: object) -> None:
    with pytest.raises(BadName, match="expected"):
        check_name(name)  # type: ignore[arg-type]


@PATIENT
@given(NAMES)
def test_an_alias_is_never_read_as_a_number_or_a_digest(name: str) -> None:
    try:
        alias = check_alias(name)
    except BadName:
        assert name.isdigit() or (len(name) >= 12 and set(name) <= set("0123456789abcdef"))
    else:
        assert parse_reference(alias).kind == "alias"
        assert parse_reference(alias).text == alias


@PATIENT
@given(
    st.one_of(st.none(), st.integers(), st.booleans(), st.text(max_size=70), st.text("0123456789abcdef", max_size=70))
)
def test_a_reference_is_exactly_one_thing_or_refused(reference: int | str | None) -> None:
    try:
        read = parse_reference(reference)
    except BadReference:
        return
    match read.kind:
        case "default":
            assert reference is None
        case "number":
            assert str(read.number) == str(reference)
            assert read.number >= 1
        case "digest":
            assert read.text == reference
            assert 12 <= len(read.text) <= 64
        case "alias":
            assert check_alias(read.text) == reference


@pytest.mark.parametrize(
    "reference", [0, -1, True, 1.5, "", "0", "01", "1234567890", "V1", "a/b", "..", "é", "f" * 65, "٣"]
)
def test_bad_references_are_refused(reference: object) -> None:
    with pytest.raises(BadReference, match="expected"):
        parse_reference(reference)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["card.md", "pictures/roc-1.png", "a/b/c.d", "_x"])
def test_paths_inside_a_version(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        ".hidden",
        "a\\b",
        "a\0b",
        "C:x",
        "a" * 300,
        "é",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(BadName, match="expected plain parts"):
        check_path(path)


@PATIENT
@given(st.lists(st.integers(1, 999_999_999), unique=True))
def test_numbers_of_files_are_read_back(found: list[int]) -> None:
    assert numbers([f"{n}.json" for n in found] + ["x.json", "0.json", "1.json.tmp", "٣.json"]) == sorted(found)
