"""What the owner of a PostgreSQL does for the bridges' role: a day's partitions made, closed and detached.

    journal ─┬─ journal_before      all dates up to `ledger_history`, from before there were days
             ├─ journal_d20261125   a day
             ├─ …
             └─ journal_default     dates that have no partition yet: money is never refused for want of one

`billing_orders` and `ledger_transfers` are parted in the same way, by the business date of the key, so that a
date's rows go as one; `ledger_transfers_standing` (date 0) has what belongs to no key and never goes.  The
functions run with the rights of whoever owns the tables and do nothing else: the bridges' role can neither
make another table, nor take a day away that is young, or whose opening balances are not written.
"""

# ruff: noqa: S608 - what is put into these functions are our own names
PARENTS = ("journal", "billing_orders", "ledger_transfers")
OLD_SCHEMA = "qianzhi_old"
AHEAD_DAYS_MAX = 60  # that a partition may be made for, from today on
YOUNG_DAYS = 200  # money rule 3: no day goes sooner, whatever a bridge's settings say
ROWS_MOVED_MAX = 10_000  # out of the default partition by a bridge; more of them are an operator's to move
SEALED = "a date whose opening balances are written takes nothing more"

_ARRAY = "ARRAY[" + ", ".join(f"'{parent}'" for parent in PARENTS) + "]"
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s'"
_DATE = "to_date(CAST({0} AS text), 'YYYYMMDD')"
_ONE_AT_A_TIME = "PERFORM pg_advisory_xact_lock(3, 1);"

# The day by the server's own clock; a day of another zone is at most one away.
TODAY = "CREATE FUNCTION qianzhi_today() RETURNS date LANGUAGE sql STABLE AS 'SELECT current_date'"

# The last date of each part of the journal that is attached.
DAYS = """CREATE FUNCTION qianzhi_days() RETURNS SETOF bigint LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN c.relname = 'journal_before' THEN (SELECT business_date FROM ledger_history)
        ELSE CAST(substr(c.relname, 10) AS bigint) END
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = CAST('journal' AS regclass) AND c.relname <> 'journal_default' $$"""

MAKE = f"""CREATE FUNCTION qianzhi_make_day(day bigint, rows_max bigint) RETURNS bigint {_DEFINER} AS $$
    DECLARE parent text; part text; waiting bigint; moved bigint := 0; after bigint;
    BEGIN
        {_ONE_AT_A_TIME}
        after := CAST(to_char({_DATE.format("day")} + 1, 'YYYYMMDD') AS bigint);
        IF CAST(to_char({_DATE.format("day")}, 'YYYYMMDD') AS bigint) <> day
            OR {_DATE.format("day")} > qianzhi_today() + {AHEAD_DAYS_MAX} THEN
            RAISE EXCEPTION 'no partition is made for %', day;
        END IF;
        IF day <= (SELECT business_date FROM ledger_history)
            OR day <= (SELECT coalesce(max(business_date), 0) FROM ledger_opening_days) THEN RETURN 0; END IF;
        FOREACH parent IN ARRAY {_ARRAY} LOOP
            EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM %I WHERE business_date = $1 LIMIT $2) x',
                parent || '_default') INTO waiting USING day, rows_max + 1;
            IF waiting > rows_max THEN RETURN -1; END IF;
        END LOOP;
        FOREACH parent IN ARRAY {_ARRAY} LOOP
            part := parent || '_d' || day;
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS '
                'INCLUDING INDEXES)', part, parent);
            EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM %I WHERE business_date = $1 LIMIT 1) x',
                parent || '_default') INTO waiting USING day;
            IF waiting > 0 THEN
                EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', parent || '_default');
                EXECUTE format('WITH gone AS (DELETE FROM %I WHERE business_date = $1 RETURNING *) '
                    'INSERT INTO %I SELECT * FROM gone', parent || '_default', part) USING day;
                GET DIAGNOSTICS waiting = ROW_COUNT;
                moved := moved + waiting;
                EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', parent || '_default');
            END IF;
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                parent, part, day, after);
            EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION '
                'qianzhi_refuse(%L)', parent || '_no_truncate', part, parent || ' keeps what was written');
        END LOOP;
        RETURN moved;
    END $$"""

# What moved up to a date since the openings before, and with them the balance at its end: portable.
OPENINGS = """INSERT INTO ledger_openings (business_date, account, moved_fen, balance_fen)
    SELECT {through}, m.account, m.fen, m.fen + coalesce((SELECT o.balance_fen FROM ledger_openings o
    WHERE o.account = m.account ORDER BY o.business_date DESC LIMIT 1), 0)
    FROM (SELECT account, CAST(sum(fen) AS bigint) AS fen FROM (
    SELECT credit AS account, amount_fen AS fen FROM ledger_transfers
    WHERE business_date > {before} AND business_date <= {through}
    UNION ALL SELECT debit, -amount_fen FROM ledger_transfers
    WHERE business_date > {before} AND business_date <= {through}) moves GROUP BY account) m"""

CLOSE = f"""CREATE FUNCTION qianzhi_close_day(through bigint) RETURNS bigint {_DEFINER} AS $$
    DECLARE parent text; part text; before bigint; found bigint;
    BEGIN
        {_ONE_AT_A_TIME}
        SELECT coalesce(max(business_date), 0) INTO before FROM ledger_opening_days;
        IF through <= before THEN RETURN -1; END IF;
        IF {_DATE.format("through")} >= qianzhi_today() - {YOUNG_DAYS} THEN
            RAISE EXCEPTION '% is younger than {YOUNG_DAYS} days', through;
        END IF;
        IF through <> (SELECT min(day) FROM qianzhi_days() day WHERE day > before) THEN
            RAISE EXCEPTION '% is not the oldest date', through;
        END IF;
        FOREACH parent IN ARRAY {_ARRAY} LOOP
            EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM %I WHERE business_date <= $1 LIMIT 1) x',
                parent || '_default') INTO found USING through;
            IF found > 0 THEN
                RAISE EXCEPTION '%_default has rows of dates up to %', parent, through;
            END IF;
            part := parent || CASE WHEN through = (SELECT business_date FROM ledger_history)
                THEN '_before' ELSE '_d' || through END;
            EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION '
                'qianzhi_refuse(%L)', parent || '_sealed', part, '{SEALED}');
        END LOOP;
        {OPENINGS.format(through="through", before="before")};
        GET DIAGNOSTICS found = ROW_COUNT;
        INSERT INTO ledger_opening_days (business_date, written_us, detached_us)
            VALUES (through, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), 0);
        RETURN found;
    END $$"""

# One moment of all three: who waits for it waits behind nobody for longer than the lock's time-out.
DETACH = f"""CREATE FUNCTION qianzhi_detach_day(through bigint) RETURNS bigint {_DEFINER} AS $$
    DECLARE parent text; part text; detached bigint := 0;
    BEGIN
        {_ONE_AT_A_TIME}
        IF NOT EXISTS (SELECT 1 FROM ledger_opening_days WHERE business_date = through AND detached_us = 0)
        THEN RAISE EXCEPTION '% has no opening balances, or is detached', through; END IF;
        LOCK TABLE {", ".join(PARENTS)} IN ACCESS EXCLUSIVE MODE;
        FOREACH parent IN ARRAY {_ARRAY} LOOP
            part := parent || CASE WHEN through = (SELECT business_date FROM ledger_history)
                THEN '_before' ELSE '_d' || through END;
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
            EXECUTE format('ALTER TABLE %I SET SCHEMA {OLD_SCHEMA}', part);
            detached := detached + 1;
        END LOOP;
        UPDATE ledger_opening_days SET detached_us =
            CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) WHERE business_date = through;
        RETURN detached;
    END $$"""

# For the owner alone: openings that a newer one replaces, once the days they close are dropped.
THIN = f"""CREATE FUNCTION qianzhi_thin_openings(through bigint) RETURNS bigint {_DEFINER} AS $$
    DECLARE gone bigint;
    BEGIN
        {_ONE_AT_A_TIME}
        ALTER TABLE ledger_openings DISABLE TRIGGER ledger_openings_no_delete;
        DELETE FROM ledger_openings o WHERE o.business_date <= through AND EXISTS (SELECT 1 FROM
            ledger_openings n WHERE n.account = o.account AND n.business_date > o.business_date
            AND n.business_date <= through);
        GET DIAGNOSTICS gone = ROW_COUNT;
        ALTER TABLE ledger_openings ENABLE TRIGGER ledger_openings_no_delete;
        RETURN gone;
    END $$"""

# Whatever comes for a date that is gone must not begin anew beside the partitions.
GONE = f"""CREATE FUNCTION qianzhi_gone() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$ BEGIN
        IF NEW.business_date <= (SELECT coalesce(max(business_date), 0) FROM ledger_opening_days)
        THEN RAISE EXCEPTION '{SEALED}'; END IF;
        RETURN NEW;
    END $$"""

FUNCTIONS = (TODAY, DAYS, MAKE, CLOSE, DETACH, THIN, GONE)
APP_FUNCTIONS = (
    "qianzhi_days()",
    "qianzhi_make_day(bigint, bigint)",
    "qianzhi_close_day(bigint)",
    "qianzhi_detach_day(bigint)",
)
OWNER_FUNCTIONS = ("qianzhi_thin_openings(bigint)",)
OTHER_FUNCTIONS = ("qianzhi_gone()", "qianzhi_today()")
