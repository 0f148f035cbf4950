"""The rules of a bank line's session: the table `[session]` of a profile.  What the messages look like is in
`[management]`; when they are sent is here.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from qianzhi.runtime.table import table

Seconds = Annotated[float, Gt(0), Le(86_400)]


@table
class SessionRules:
    """When a line's management messages are sent, and what their absence means.

    sign_on             whether requests are refused until the bank has signed on
    key_exchange        whether we make and deliver working MAC keys; without it the key by reference is the key
    key_bytes           8 for single-length working keys, 16 for double-length ones
    grace_seconds       how long the key before a change still verifies
    key_answer_seconds  how long a key delivery waits for its answer before the same message is sent again
    key_attempts_max    how often it is sent before it is given up
    echo_seconds        silence of a connection after which we send an echo; 0: never
    echo_answer_seconds how long we wait for its answer before the next one
    echo_misses_max     unanswered echoes in a row after which the connection is closed
    mac_failures_max    wrong MACs in a row after which the bank must sign on again; 0: never
    """

    sign_on: bool = False
    key_exchange: bool = False
    key_bytes: Literal[8, 16] = 16
    grace_seconds: Seconds = 300
    key_answer_seconds: Seconds = 10
    key_attempts_max: Annotated[int, Ge(1), Le(100)] = 3
    echo_seconds: Annotated[float, Ge(0), Le(86_400)] = 0
    echo_answer_seconds: Seconds = 10
    echo_misses_max: Annotated[int, Ge(1), Le(100)] = 3
    mac_failures_max: Annotated[int, Ge(0), Le(1_000_000)] = 0
