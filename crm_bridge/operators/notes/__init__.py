"""What is recorded in the audit chain without anybody's approval, on its way there."""
