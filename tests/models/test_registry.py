"""Models by name."""

import pytest

from pdstore.errors import ModelError, UsageError
from pdstore.models.protocol import ModelOptions
from pdstore.models.registry import model_class, model_names, options_of_protocol


def test_entry_points_name_the_models() -> None:
    assert {"cnn", "xpresso"} <= set(model_names())
    assert model_class("xpresso").name == "xpresso"


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ModelError, match=r"no model 'xpreso'.*cnn.*xpresso; did you mean xpresso\?"):
        model_class("xpreso")


def test_a_protocol_is_an_articles_choice_of_options() -> None:
    options = options_of_protocol("enformer", "huang2023", ModelOptions(precision="bf16"))
    assert options == ModelOptions(tracks="5110", bins="443-452", precision="bf16")
    assert options_of_protocol("enformer", "sasse2023", ModelOptions()).bins == "447-449"
    assert options_of_protocol("basenji2", "huang2023", ModelOptions()).ensemble
    assert options_of_protocol("xpresso", "huang2023", ModelOptions()) == ModelOptions()
    with pytest.raises(UsageError, match="--protocol huang2023 says what --tracks is: leave one of them out"):
        options_of_protocol("basenji2", "huang2023", ModelOptions(tracks="5110"))
    with pytest.raises(UsageError, match="basenji2 has no --protocol sasse2023: it has huang2023"):
        options_of_protocol("basenji2", "sasse2023", ModelOptions())
    with pytest.raises(UsageError, match="cnn has no --protocol sasse2023: it has none"):
        options_of_protocol("cnn", "sasse2023", ModelOptions())
