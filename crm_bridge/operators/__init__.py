"""Operators for money: who may ask for an act, who approves it, and the chain of what was done."""
