"""A charge that is taken over while its order is begun anew is forgotten with what could not be begun."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
            if begun is not None and begun.key == charge.key:
                continue
"""
NEW = """\
            if begun is not None:
                continue
"""
NOTICED_BY = (
    "tests/interface_layer/test_orders_again.py"
    "::test_an_order_that_is_begun_anew_while_it_is_taken_over_is_settled_as_it_stands"
)
