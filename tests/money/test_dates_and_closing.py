"""Rules 2 and 10: business dates, the day's end, and what is taken back before and after it."""

from crm_bridge.operators.acts import ActKind
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from tests.money.bank import Said, Serial
from tests.money.house import TODAY, day_close, house_request
from tests.money.site import Site, Stage

FIFTY = 5_000
BEFORE_MIDNIGHT, BEFORE_THE_FENCE = "23:59:55", "23:59:40"


def test_repeat_over_midnight(stage: Stage) -> None:
    site = stage("undated", at=BEFORE_MIDNIGHT)
    bank, seven = site.bank, site.bank.serial()

    assert bank.loses(bank.asks(seven)) is Result.APPROVED
    site.run(10)
    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_reversal_over_midnight(stage: Stage) -> None:
    site = stage("undated", at=BEFORE_MIDNIGHT)
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    site.run(10)
    assert bank.hears(bank.reverses(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == 0
    assert len(site.database.memory.journal) == 1  # and no tombstone beside it


def test_bank_a_day_ahead(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial(days_ahead=1)

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert site.row(seven.key).business_date == TODAY + 1
    assert site.balance(seven.phone) == FIFTY


def test_bank_a_day_behind(stage: Stage) -> None:
    site = stage(at="00:00:10")
    bank, seven = site.bank, site.bank.serial(days_ahead=-1)

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert site.row(seven.key).business_date == TODAY - 1
    assert site.balance(seven.phone) == FIFTY
    site.until(lambda: site.closed_through() == TODAY - 1, 300)
    eight = bank.serial(days_ahead=-1)
    assert bank.hears(bank.asks(eight)) is Result.DATE_CLOSED  # from the fence on, and not from midnight on


def test_date_too_far_ahead(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial(days_ahead=2)

    first = bank.asks(seven)
    assert bank.hears(first) is Result.BAD_DATE
    assert site.state(seven.key) == "REFUSED"
    site.hours_later(24)
    eight = bank.serial(phone=site.phone(owing=True), days_ahead=1)
    assert eight.key.date == seven.key.date
    assert bank.hears(bank.asks(eight)) is Result.APPROVED  # the date is taken by now

    assert bank.hears(bank.sends(bank.copy_of(first))) is Result.BAD_DATE
    assert site.balance(seven.phone) == 0


def test_cutover_by_notice(stage: Stage) -> None:
    site = stage("undated", at="23:00:00")
    bank, seven = site.bank, site.bank.serial()
    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert site.row(seven.key).business_date == TODAY

    with site.fault("disk_full"):  # the date that begins cannot be stored
        notice = bank.tells_next_date(TODAY + 1)
        site.run(2)
        assert not bank.code_of_notice(notice)
    site.until(lambda: bank.code_of_notice(notice))
    site.front.kill()  # what was answered stands in the next life as well
    site.front.start()
    site.run(2)

    eight = bank.serial()
    assert bank.hears(bank.asks(eight)) is Result.APPROVED
    assert site.row(eight.key) is None  # of the day by the clock
    assert site.row(eight.key._replace(date=TODAY + 1)).phone == eight.phone
    assert bank.hears(bank.queries(seven)) is Result.APPROVED  # of the day before, by now


def test_late_original_of_closed_day(stage: Stage) -> None:
    site = stage(at=BEFORE_THE_FENCE)
    delayed, seven = close_today_before(site)

    assert site.bank.hears(site.bank.sends(delayed)) is Result.DATE_CLOSED
    assert site.state(seven.key) == ""
    assert site.balance(seven.phone) == 0


def test_query_of_closed_day(stage: Stage) -> None:
    site = stage(at=BEFORE_THE_FENCE)
    delayed, seven = close_today_before(site)
    bank = site.bank

    assert bank.hears(bank.queries(seven)) is Result.NOT_FOUND
    assert site.state(seven.key) == ""  # no tombstone
    with site.clocks_back(hours=0.5):
        assert bank.hears(bank.sends(delayed)) is Result.DATE_CLOSED
    assert site.balance(seven.phone) == 0


def close_today_before(site: Site) -> tuple[Said, Serial]:
    """Let the timer close a day of which one original is still on its way; return that."""
    bank = site.bank
    assert bank.hears(bank.asks(bank.serial())) is Result.APPROVED
    seven = bank.serial()
    delayed = bank.writes(seven)
    site.until(lambda: site.closed_through() == TODAY, 300)
    return delayed, seven


def test_reversal_into_arrears(stage: Stage) -> None:
    site = stage()
    bank, phone = site.bank, site.phone(owing=True)
    seven = bank.serial(phone, fen=min(site.bills(phone)) - 100)

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    site.spend(phone, rest_fen=1_000)
    assert bank.hears(bank.reverses(seven)) is Result.APPROVED

    assert site.balance(phone) == 0
    assert site.arrears(phone) == seven.fen - 1_000
    assert "reversal_left_arrears" in site.alarms


def test_void_of_spent_money(stage: Stage) -> None:
    site = stage()
    bank, phone = site.bank, site.phone(owing=True)
    seven = bank.serial(phone, fen=min(site.bills(phone)) - 100)

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    site.spend(phone, rest_fen=1_000)
    posted = len(site.database.memory.transfers)
    said = site.house.act(ActKind.VOID, seven.key, bank="short", bank_number=seven.bank_number)

    assert said.result is Result.SPENT
    assert len(site.database.memory.transfers) == posted
    assert site.state(seven.key) == "APPROVED"


def test_reversal_after_fence(stage: Stage) -> None:
    site = stage(at=BEFORE_THE_FENCE)
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    site.until(lambda: site.closed_through() == TODAY, 300)
    assert bank.hears(bank.reverses(seven)) is Result.DATE_CLOSED

    assert site.balance(seven.phone) == FIFTY
    assert [(one.key, one.kind) for one in site.open_breaks()] == [(seven.key, "refund")]


def test_fence_too_early(stage: Stage) -> None:
    site = stage(at="23:59:00")
    bank, seven = site.bank, site.bank.serial()
    assert bank.hears(bank.asks(seven)) is Result.APPROVED

    assert site.house.act(ActKind.DAY_CLOSE, day_close()).result is Result.TOO_EARLY
    assert site.closed_through() == 0
    assert bank.hears(bank.reverses(seven)) is Result.APPROVED  # its window is open


def test_fence_asked_twice(stage: Stage) -> None:
    site = stage(at=BEFORE_THE_FENCE)
    bank = site.bank
    assert bank.hears(bank.asks(bank.serial())) is Result.APPROVED
    site.until(lambda: site.closed_through() == TODAY, 300)

    again = site.house.act(ActKind.DAY_CLOSE, day_close())
    assert (again.result, again.stored) == (Result.APPROVED, True)
    assert [one.by for one in site.database.memory.fences if one.space == "short"] == ["timer"]


def test_fence_held_by_break(stage: Stage) -> None:
    site = stage(at="23:59:00")
    bank, seven = site.bank, site.bank.serial()
    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    site.house.asks_core(house_request(Kind.BREAK, seven.key, "manual", FIFTY))
    site.run(180)  # the timer has tried as well

    assert site.house.act(ActKind.DAY_CLOSE, day_close()).result is Result.BREAK_OPEN
    assert site.closed_through() == 0
    assert "day_not_closed" in site.alarms

    assert site.house.act(ActKind.BREAK_MEND, seven.key).result is Result.APPROVED
    assert site.house.act(ActKind.DAY_CLOSE, day_close()).result is Result.APPROVED
    assert site.closed_through() == TODAY
