"""A request goes out a third time."""

RULE = 6
FILE = "qianzhi/link/hop.py"
OLD = "SENDS_MAX = 2  #"
NEW = "SENDS_MAX = 3  #"
NOTICED_BY = "tests/link/test_hop.py::test_nothing_goes_out_a_third_time"
