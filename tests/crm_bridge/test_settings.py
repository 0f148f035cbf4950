import pytest

from crm_bridge.settings import CoreSettings, minutes, problems


def test_the_defaults_are_fine():
    assert problems(CoreSettings(database="sqlite:///var/core.db")) == []
    assert CoreSettings(database="").close_minutes == 720


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("writers", 2),
        ("day_closes", "24:00"),
        ("day_closes", "12"),
        ("day_closes", " 1:30"),
        ("day_closes", "12:60"),
        ("day_closes", "00:29"),  # sooner than fence_minutes allow
        ("order_prefix", "ABCD"),
        ("order_prefix", "单"),
        ("queue_max", 100),
        ("database", "postgresql://user:secret@host/core"),
        ("database", "postgresql://user@host:5432"),
        ("database", "postgresql://host/core"),
        ("database", "postgresql://user@one:5432,two:x/core"),
        ("database", "mysql://user@host/core"),
        ("owner_password", "test:one"),
    ],
)
def test_each_problem_is_named_by_its_key(key, value):
    found = problems(CoreSettings(**{"database": "sqlite:///x", key: value}), "my.toml", "core")
    assert [(problem.file, problem.key) for problem in found] == [("my.toml", f"core.{key}")]
    assert "secret" not in str(found[0])


def test_postgresql_takes_several_hosts_writers_and_passwords_by_reference():
    url = "postgresql://qianzhi_app@one:5432,two:5432/core?target_session_attrs=read-write"
    assert (
        problems(CoreSettings(database=url, writers=4, password="env:PASSWORD", owner_password="test:o"))
        == []
    )


def test_all_problems_at_once():
    wrong = CoreSettings(
        database="sqlite:///x", writers=3, day_closes="noon", order_prefix="----", queue_max=1
    )
    assert len(problems(wrong)) == 4


@pytest.mark.parametrize(("text", "expected"), [("00:00", 0), ("12:00", 720), ("23:59", 1439)])
def test_times_of_day(text, expected):
    assert minutes(text) == expected
