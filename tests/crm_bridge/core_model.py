"""A reference model of the core: a few dicts that do what it must do, told as plainly as possible."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 11, 17, 11, 0, tzinfo=ZONE)
PHONES = [str(13_800_000_000 + i) for i in (0, 1, 2, 3, 4, 49)]
LIMIT = 40_000
RATE = 100


def number(day):
    return int(day.strftime("%Y%m%d"))


def day_of(yyyymmdd):
    return datetime.strptime(str(yyyymmdd), "%Y%m%d").replace(tzinfo=ZONE)


class Model:
    """What the core must do, told once more as plainly as possible; amounts in fen, times as datetimes."""

    def __init__(self, accounts):
        self.people = {}
        for phone, view in accounts.items():
            bills = [
                {"serial": b.serial, "month": b.month, "principal": b.principal_fen, "open": True}
                for b in sorted(view.bills, key=lambda b: b.month)
            ]
            person = {"state": view.state, "money": view.balance_fen, "debt": 0, "bills": bills}
            self.people[phone] = person
        self.keys = {}
        self.cleared = {}
        self.fences = {}
        self.breaks = {}

    def answer(self, r, at):
        if r.kind == Kind.OWED:
            return self.owed(r, at)
        if r.kind in (Kind.RECHARGE, Kind.PAY, Kind.BLOCK):
            return self.original(r, at)
        if r.kind == Kind.TOTALS:
            return self.totals(r, at)
        if r.kind == Kind.CLOSE:
            return self.close(r, at)
        if r.kind in (Kind.BREAK, Kind.MEND):
            return self.broken(r, r.stamp_us or int(at.timestamp()) * 1_000_000)
        return self.about(r, at)

    def close(self, r, at):
        after = self.fences.get(r.space, 0)
        if r.date <= after:
            return Result.APPROVED, 0, 0
        if at < day_of(r.date) + timedelta(days=1, minutes=30):
            return Result.TOO_EARLY, 0, 0
        held = [one for key, one in self.breaks.items() if one["open"] and key[0] == r.space]
        held = [one for one in held if after < one["date"] <= r.date]
        if held:
            return Result.BREAK_OPEN, sum(one["fen"] for one in held), 0
        self.fences[r.space] = r.date
        return Result.APPROVED, 0, 0

    def broken(self, r, stamp):
        key = tuple(r.key) if r.kind == Kind.MEND and r.reason != "saf" else self.row(tuple(r.key), "told")
        entry, fen = self.breaks.get(key), max(0, r.amount_fen)
        late = r.reason == "saf" and self.closed(r.space, r.date)
        reason = "manual" if late else r.reason
        if r.kind == Kind.MEND:
            if entry is None:
                self.note(key, "", fen, stamp, is_open=False)
            elif entry["open"] and stamp >= entry["stamp"]:
                entry |= {"open": False, "stamp": stamp}
            elif not entry["open"]:
                entry["stamp"] = max(stamp, entry["stamp"])
        elif entry is None:
            self.note(key, reason, fen, stamp)
        elif entry["open"] and (stamp < entry["stamp"] or entry["kind"] in ("manual", reason)):
            pass  # a late copy, or nothing new
        elif entry["open"]:
            self.note(key, reason, fen or entry["fen"], max(stamp, entry["stamp"]))
        elif not entry["open"] and stamp > entry["stamp"]:
            self.note(key, reason, fen or entry["fen"], stamp)
        return Result.APPROVED, self.breaks[key]["fen"], 0

    def row(self, key, word):
        """The row of a key for what is told of it, or for refunds: whichever is first has the key's own."""
        entry = self.breaks.get(key)
        mine = entry is None or (entry["kind"] == "refund") == (word == "refund")
        return key if mine else (*key[:2], f"{key[2]}:{word}")

    def note(self, key, kind, fen, stamp, is_open=True):
        self.breaks[key] = {"open": is_open, "kind": kind, "fen": fen, "stamp": stamp, "date": key[1]}

    def house(self):
        """What must stand in the database: fences, open breaks, suspense."""
        rows = {"{}/{:08d}/{}".format(*key): one for key, one in self.breaks.items() if one["open"]}
        suspense = sum(one["fen"] for one in rows.values() if one["kind"] == "manual")
        return self.fences, {key: (one["kind"], one["fen"]) for key, one in rows.items()}, suspense

    def fee(self, bill, at):
        year, month = divmod(bill["month"], 100)
        due = date(year + month // 12, month % 12 + 1, 20)
        late = max(0, (at.date() - due).days)
        return min(bill["principal"], bill["principal"] * RATE * late // 10_000)

    def worth(self, phone):
        return self.people[phone]["money"] - self.people[phone]["debt"]

    def owed(self, r, at):
        person = self.people.get(r.phone)
        if person is None:
            return Result.NO_SUCH_PHONE, 0, 0
        total = person["debt"] + sum(b["principal"] + self.fee(b, at) for b in person["bills"] if b["open"])
        return (Result.APPROVED if total else Result.NOTHING_OWED), total, self.worth(r.phone)

    def totals(self, r, at):
        if (day_of(r.date).date() - at.date()).days > 1:
            return Result.BAD_DATE, 0, 0
        ours = self.sums(r.bank_number, r.date)
        theirs = (r.count, r.amount_fen, r.reversed_count, r.reversed_fen)
        return (Result.APPROVED if theirs == ours else Result.TOTALS_DIFFER), ours, 0

    def sums(self, bank_number, yyyymmdd):
        did = [(key[1], entry["state"], entry["did"]) for key, entry in self.keys.items() if entry["did"]]
        did = [(state, d["amount"]) for day, state, d in did if (d["bank"], day) == (bank_number, yyyymmdd)]
        undone = [amount for state, amount in did if state == "reversed"]
        return len(did), sum(amount for _, amount in did), len(undone), sum(undone)

    def content(self, r):
        return (r.phone, r.amount_fen, r.bank_number, r.bill)

    def near(self, r, dates):
        found = [
            self.keys.get((r.space, number(day_of(r.date) + timedelta(days=n)), r.serial)) for n in dates
        ]
        return [entry for entry in found if entry is not None]

    def clashes(self, r, entry):
        return any(a and b and a != b for a, b in zip(self.content(r), entry["content"], strict=True))

    def original(self, r, at):
        entry = self.keys.get(tuple(r.key))
        if entry is None and r.date_ours:
            for other in self.near(r, (-1, 1)):
                fresh = at - other["at"] < timedelta(hours=2)
                if fresh and (self.same(r, other) if other["seen"] else not self.clashes(r, other)):
                    entry = other
                    break
        if entry is not None:
            if entry["seen"] and not self.same(r, entry):
                return Result.DUPLICATE_SERIAL, 0, 0
            return self.repeated(entry)
        ahead = (day_of(r.date).date() - at.date()).days
        if ahead < -1:
            return Result.BAD_DATE, 0, 0
        if self.closed(r.space, r.date):
            reply = (Result.DATE_CLOSED, 0, 0)
            return self.keep(r, at, "refused", reply) if r.date_ours else reply
        if ahead > 1:
            return self.keep(r, at, "refused", (Result.BAD_DATE, 0, 0))
        if r.kind == Kind.BLOCK:
            return self.keep(r, at, "blocked", (Result.BLOCKED, 0, 0), seen=False)
        reply = self.credit(r, at)
        return self.keep(r, at, "approved" if reply[0] is Result.APPROVED else "refused", reply)

    def same(self, r, entry):
        kind_fits = r.kind == Kind.BLOCK or r.kind == entry["kind"]
        return kind_fits and self.content(r) == entry["content"]

    def repeated(self, entry):
        if entry["state"] == "reversed":
            return Result.REVERSED, entry["reply"][1], 0
        return (Result.BLOCKED, 0, 0) if entry["state"] == "blocked" else entry["reply"]

    def closed(self, space, yyyymmdd):
        return yyyymmdd <= self.fences.get(space, 0)

    def keep(self, r, at, state, reply, seen=None):
        self.keys[tuple(r.key)] = {
            "state": state,
            "kind": r.kind,
            "content": self.content(r),
            "seen": r.kind in (Kind.RECHARGE, Kind.PAY) if seen is None else seen,
            "reply": reply,
            "at": at,
            "did": self.did if state == "approved" else None,
        }
        return reply

    def credit(self, r, at):
        person = self.people.get(r.phone)
        if r.amount_fen <= 0:
            return Result.BAD_AMOUNT, 0, 0
        if r.amount_fen > LIMIT:
            return Result.AMOUNT_LIMIT, 0, 0
        if person is None:
            return Result.NO_SUCH_PHONE, 0, 0
        if person["state"] == "closed":
            return Result.PHONE_CLOSED, 0, 0
        self.did = {"phone": r.phone, "amount": r.amount_fen, "bank": r.bank_number, "debt": 0, "bills": []}
        if r.kind == Kind.PAY:
            bill = next((b for b in person["bills"] if b["serial"] == r.bill), None)
            if bill is None:
                return Result.NO_SUCH_BILL, 0, 0
            if not bill["open"]:
                return Result.BILL_PAID, 0, 0
            if bill["principal"] + self.fee(bill, at) != r.amount_fen:
                return Result.BILL_CHANGED, 0, 0
            self.write_off(bill, at)
        else:
            money = person["money"] + r.amount_fen
            self.did["debt"] = min(money, person["debt"])
            person["debt"] -= self.did["debt"]
            money -= self.did["debt"]
            for bill in person["bills"]:
                if bill["open"] and bill["principal"] + self.fee(bill, at) > money:
                    break
                if bill["open"]:
                    money -= self.write_off(bill, at)
            person["money"] = money
        self.cleared[r.bank_number] = self.cleared.get(r.bank_number, 0) + r.amount_fen
        return Result.APPROVED, r.amount_fen, self.worth(r.phone)

    def write_off(self, bill, at):
        paid = bill["principal"] + self.fee(bill, at)
        bill["open"] = False
        self.did["bills"].append((bill, paid))
        return paid

    def about(self, r, at):
        entry = self.keys.get(tuple(r.key))
        if r.date_ours:
            found = ([entry] if entry else []) + self.near(r, (-1, 1))
            entry = next((e for e in found if not self.clashes(r, e)), found[0] if found else None)
        if entry is None:
            if self.closed(r.space, r.date) and not r.date_ours:
                return Result.NOT_FOUND, 0, 0
            return self.keep(r, at, "blocked", (Result.NOT_FOUND, 0, 0), seen=False)
        if r.kind == Kind.STATUS:
            return self.repeated(entry) if entry["state"] == "reversed" else entry["reply"]
        return self.reverse(r, entry, at)

    def reverse(self, r, entry, at):
        if entry["reply"][0] is Result.NOT_FOUND:
            return entry["reply"]
        if entry["state"] in ("refused", "blocked"):
            return Result.ORIGINAL_REFUSED, 0, 0
        if r.amount_fen and r.amount_fen != entry["content"][1]:
            return Result.AMOUNT_DIFFERS, 0, 0
        if r.phone and r.phone != entry["content"][0]:
            return Result.DUPLICATE_SERIAL, 0, 0
        if entry["state"] == "reversed":
            return entry["undone"]
        key = next(key for key, value in self.keys.items() if value is entry)
        if self.closed(*key[:2]):
            if r.kind == Kind.REVERSAL and (refund := self.row(key, "refund")) not in self.breaks:
                self.note(refund, "refund", entry["content"][1], int(at.timestamp()) * 1_000_000)
            if r.kind == Kind.VOID or not r.reason:
                return Result.DATE_CLOSED, 0, 0
        did = entry["did"]
        person = self.people[did["phone"]]
        back = sum(paid for _, paid in did["bills"]) + did["debt"]
        if r.kind == Kind.VOID and person["money"] + back < did["amount"]:
            return Result.SPENT, 0, 0
        for bill, paid in did["bills"]:
            bill["open"] = True
            person["money"] += paid
        person["money"] += did["debt"] - did["amount"]
        person["debt"] += did["debt"]
        if entry["kind"] == Kind.PAY:
            person["money"] += did["amount"] - sum(paid for _, paid in did["bills"])
        if person["money"] < 0:
            person["debt"] -= person["money"]
            person["money"] = 0
        self.cleared[did["bank"]] -= did["amount"]
        entry["state"] = "reversed"
        entry["undone"] = (Result.APPROVED, did["amount"], self.worth(did["phone"]))
        return entry["undone"]
