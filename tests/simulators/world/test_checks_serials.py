"""A serial of ours that is given to a second thing is named, whoever died in between."""

from pathlib import Path

import pytest

from frontends.profile import Profile, load_profile
from qianzhi.runtime.now import Now
from simulators.codecs import bank_codec
from simulators.world.checks_bench import NOW, TODAY
from simulators.world.checks_serials import LineSerials, Serials
from simulators.world.observe import Violation

CONFIG = Path(__file__).parents[3] / "config"
FRONT, OTHER_FRONT = "front-citic-1", "front-citic-2"


@pytest.fixture(scope="module")
def profile() -> Profile:
    profile, problems = load_profile(CONFIG, "hz_citic", rehearsed=False)
    assert profile is not None, problems
    return profile


def frame(profile: Profile, name: str, serial: str, now: Now = NOW) -> bytes:
    return bank_codec(profile.spec).encode(profile.mapping.management_message(name, serial, now))


def test_a_serial_of_ours_that_means_another_thing_after_a_restart_is_named() -> None:
    serials = Serials()
    serials.used("charges", TODAY, "7", "charge 1")
    serials.used("charges", TODAY, "7", "charge 1")  # a repeat
    serials.used("charges", TODAY + 1, "7", "charge 2")
    with pytest.raises(Violation, match="I13 charges/20260701/7"):
        serials.used("charges", TODAY, "7", "charge 2")


def test_an_echo_under_a_serial_that_the_other_one_of_a_pair_has_used_is_named(profile: Profile) -> None:
    lines = LineSerials(Serials(), {"hz_citic": profile})
    lines.went("hz_citic", FRONT, frame(profile, "echo", "000001"))
    lines.went("hz_citic", OTHER_FRONT, frame(profile, "echo", "001001"))
    lines.went("other", OTHER_FRONT, b"?")  # a bank without messages of ours
    lines.went("hz_citic", OTHER_FRONT, b"?")  # no message
    with pytest.raises(Violation, match="I13 line of hz_citic/00000000/000001"):
        lines.went("hz_citic", OTHER_FRONT, frame(profile, "echo", "000001"))


def test_a_key_is_told_again_under_its_serial_and_an_echo_is_not(profile: Profile) -> None:
    lines = LineSerials(Serials(), {"hz_citic": profile})
    told = frame(profile, "key_delivery", "000001")
    lines.went("hz_citic", FRONT, told)
    lines.went("hz_citic", OTHER_FRONT, told)
    with pytest.raises(Violation, match="I13"):
        lines.went("hz_citic", FRONT, frame(profile, "echo", "000001"))
