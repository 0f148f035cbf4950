"""A business date may be closed at the minute of its cutover."""

RULE = 10
FILE = "crm_bridge/journal_dates.py"
OLD = """\
        return self._clock_us >= closes_us(date, fence_minutes, self._zone)
"""
NEW = """\
        return self._clock_us >= closes_us(date, 0, self._zone)
"""
NOTICED_BY = "tests/crm_bridge/test_house.py::test_a_date_is_closed_no_sooner_than_half_an_hour_after_its_end"
