"""What all policies have in common: they are values, fixed when they are built, and their options go by name."""

import inspect
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from buoy.policies.breaker import Breaker
from buoy.policies.budget import RetryBudget
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry

POLICIES: list[Any] = [Breaker(), RetryBudget(), Concurrency(1), RateLimit(1), Retry(), Timeout()]
# The one option of some that goes by position as well, because their name says what it is.
BY_POSITION = {"Concurrency": ["limit"], "RateLimit": ["rate"]}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_a_policy_cannot_be_changed(policy: Any) -> None:
    """Several operations may share a policy: nobody changes an option of it, and nobody adds one."""
    for option in fields(policy):
        with pytest.raises(FrozenInstanceError):
            setattr(policy, option.name, 1)
    assert not hasattr(policy, "__dict__")


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_options_go_by_name(policy: Any) -> None:
    """A bare number says nothing about what it is, but for a limit or a rate."""
    parameters = inspect.signature(type(policy)).parameters.values()
    expected = BY_POSITION.get(type(policy).__name__, [])
    assert expected == [each.name for each in parameters if each.kind is not inspect.Parameter.KEYWORD_ONLY]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_policies_of_the_same_options_are_the_same(policy: Any) -> None:
    """They compare by value, so that equal budgets or breakers are found to be one, and can be keys."""
    again = type(policy)(**{option.name: getattr(policy, option.name) for option in fields(policy) if option.init})
    assert again == policy
    assert hash(again) == hash(policy)
