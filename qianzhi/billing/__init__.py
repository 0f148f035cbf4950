"""The reference billing core: customers, phones, books 账本, bills, work orders 工单, write-off 销帐."""
