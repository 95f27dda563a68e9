"""Models by name."""

import pytest

from pdstore.errors import ModelError
from pdstore.models.registry import model_class, model_names


def test_entry_points_name_the_models() -> None:
    assert {"cnn", "xpresso"} <= set(model_names())
    assert model_class("xpresso").name == "xpresso"


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ModelError, match=r"no model 'xpreso'.*cnn.*xpresso; did you mean xpresso\?"):
        model_class("xpreso")
