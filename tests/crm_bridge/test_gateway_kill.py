"""What was answered survives SIGKILL, whenever it comes: a real process, killed while it commits."""

import signal
import subprocess
import sys

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_keys, totals
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result

CHILD = """
import sys
from crm_bridge.gateway import Gateway
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind, Request
from qianzhi.runtime.now import Now
from zoneinfo import ZoneInfo

url, now, day = sys.argv[1], Now(0, int(sys.argv[2])), int(sys.argv[3])
core = Gateway(url, CoreSettings(database=url), ZoneInfo("Asia/Shanghai"))
number = 0
while True:
    batch = []
    for _ in range(40):
        number += 1
        phone = str(13_800_000_000 + number % 40)
        batch.append(Request(Kind.RECHARGE, "citic", day, str(number), "b", "001", phone, 9_000))
        if number % 3 == 0:
            batch.append(Request(Kind.REVERSAL, "citic", day, str(number - 1), "b", "001"))
    for request, reply in zip(batch, core.execute(batch, now), strict=True):
        print(int(request.kind), request.serial, int(reply.result), reply.order, flush=False)
    sys.stdout.flush()
"""


@pytest.mark.parametrize("lines", [1, 150, 400])
def test_no_answered_request_is_lost(core, ask, url, noon, lines):
    day = ask(Kind.STATUS, "1").date
    command = [sys.executable, "-c", CHILD, url, str(noon.wall_us), str(day)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        told = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += [line for line in child.stdout if line.endswith("\n")]
        assert child.wait() == -signal.SIGKILL
    answers = [line.split() for line in told]
    assert {answer[2] for answer in answers} == {"0"}
    assert audit_books(url).violations == []
    orders = {serial: order for kind, serial, _, order in answers if int(kind) == Kind.RECHARGE}
    reversed_ = {serial for kind, serial, *_ in answers if int(kind) == Kind.REVERSAL}
    views = find_keys(url, [Key("citic", day, serial) for serial in orders])
    assert {key.serial: view.order for key, view in views.items()} == orders
    assert {
        key.serial for key, view in views.items() if view.state == "reversed"
    } >= reversed_ & orders.keys()
    # The next process goes on: a repeat gets the stored answer, a new key a new order.
    repeat = ask(Kind.RECHARGE, "1", "13800000001", 9_000, bank_number="001")
    new = ask(Kind.RECHARGE, "new", "13800000001", 9_000)
    again, fresh = core.execute([repeat, new], noon)
    assert (again.order, again.stored, fresh.result) == (orders["1"], True, Result.APPROVED)
    assert totals(url).orders >= len(orders) + 1
