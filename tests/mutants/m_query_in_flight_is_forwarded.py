"""A query beside its original in flight is forwarded and settles what is under way."""

RULE = 4
FILE = "frontends/flights.py"
OLD = """\
        return any(key in self._money for key in _keys_meant(request))
"""
NEW = """\
        return False
"""
NOTICED_BY = (
    "tests/frontends/test_elsewhere.py::test_a_status_query_where_the_original_is_in_flight_is_in_process"
)
