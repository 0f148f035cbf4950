"""Plain words for people: what a result means, what an account of the ledger is, how a long time is written.

Codes and names stay as they are in every `--json`; these words are for eyes only.
"""

from qianzhi.domain.results import Result

MEANINGS = {
    Result.BAD_AMOUNT: "the amount is zero, negative or no number",
    Result.AMOUNT_LIMIT: "the amount is above the limit",
    Result.BILL_CHANGED: "the amount quoted is not what the bill comes to now",
    Result.BILL_PAID: "the bill is paid already",
    Result.DUPLICATE_SERIAL: "this serial was used before with other content",
    Result.REVERSED: "it was approved and has been reversed since",
    Result.BLOCKED: "its key was blocked before it came, and stays so",
    Result.NOT_FOUND: "the core never saw it, and by this query will never take it",
    Result.ORIGINAL_REFUSED: "the original was refused: there is nothing to reverse",
    Result.AMOUNT_DIFFERS: "the amount is not the original's",
    Result.BAD_DATE: "the business date is more than one day from today",
    Result.DATE_CLOSED: "the business date is closed",
    Result.TOO_OLD: "the key is older than keys are kept",
    Result.SPENT: "what was credited has been spent meanwhile",
    Result.BREAK_OPEN: "something of it is open: `qianzhi breaks` shows what",
    Result.TOO_EARLY: "it is too early: reversals of that day are still taken",
    Result.QUARANTINED: "the core could not process it; its key is blocked",
    Result.FORMAT: "a field is missing or not in its form",
    Result.BAD_MAC: "the MAC is wrong",
    Result.NO_ROUTE: "no route for this bank number, or no node to take it",
    Result.BUSY: "the system is busy",
    Result.UNAVAILABLE: "the system cannot take it now",
}

ACCOUNTS = {
    "clearing": "bank clearing",
    "receivable": "bills receivable",
    "late-fees": "late fees",
    "revenue": "revenue",
    "opening": "opening balances",
    "book": "book of",
    "arrears": "arrears of",
}

TRANSFERS = {
    "credit": "money from the bank into the book",
    "arrears": "an earlier shortage made good",
    "principal": "a bill written off",
    "late_fee": "the bill's late fee",
    "shortage": "what the book was short of",
    "opening": "opening balance",
    "billed": "a month's bill",
}


def meaning(result: Result | None) -> str:
    """Say what a result means to whoever asked; None is a code that the profile does not know."""
    if result is None:
        return "a code that the profile does not know"
    return MEANINGS.get(result, result.name.lower().replace("_", " "))


def account_words(name: str) -> str:
    """Write `kind:owner:part` of an account for a clerk; the part, a matter of storage, is left out."""
    kind, _, rest = name.partition(":")
    owner = rest.partition(":")[0]
    return f"{ACCOUNTS.get(kind, kind)} {owner}".strip()


def transfer_words(what: str) -> str:
    """Say what a transfer did."""
    undone = what.removeprefix("undo ")
    words = TRANSFERS.get(undone, undone.replace("_", " "))
    return words if undone == what else f"undone: {words}"


def counted(n: int, noun: str) -> str:
    """Write a number with its noun in the right form."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def duration(seconds: int) -> str:
    """Write a time in its two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
