-- What metrics and `gateway doctor` show about everything that is here: counts and ages, no id of anybody. One row a figure.
SET LOCAL ROLE gateway_schema;

CREATE FUNCTION gateway_operations(moment timestamptz) RETURNS TABLE (figure text, label text, value double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on SET timezone = 'UTC'
AS $$
    WITH queue AS MATERIALIZED (
        SELECT o.state, count(*) AS messages, min(o.due_at) FILTER (WHERE o.state = 'accepted' AND o.due_at <= moment) AS oldest
        FROM outbox o
        GROUP BY o.state
    ),
    runs AS MATERIALIZED (
        SELECT r.job, r.finished_at, r.succeeded, row_number() OVER (PARTITION BY r.job ORDER BY r.started_at DESC, r.run_id DESC) AS age
        FROM cron_runs r
        WHERE r.started_at > moment - interval '7 days'
    ),
    parts AS MATERIALIZED (
        SELECT p.relname::text AS parent, max(CASE
                WHEN c.relname ~ '_d[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD')::timestamptz + interval '1 day'
                WHEN c.relname ~ '_m[0-9]{6}$' THEN to_date(right(c.relname, 6), 'YYYYMM')::timestamptz + interval '1 month'
            END) AS ends
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p' AND p.relnamespace = 'public'::regnamespace
        GROUP BY p.relname
    )
    SELECT 'accounts', a.state, count(*)::double precision FROM accounts a GROUP BY a.state
    UNION ALL
    SELECT CASE WHEN s.test THEN 'test_senders' ELSE 'live_senders' END, s.state, count(*) FROM senders s GROUP BY s.test, s.state
    UNION ALL
    SELECT 'queue', q.state, q.messages FROM queue q
    UNION ALL
    SELECT 'queue_oldest', '', greatest(0, extract(epoch FROM moment - q.oldest)) FROM queue q WHERE q.oldest IS NOT NULL
    UNION ALL
    SELECT 'contacts', '', count(*) FROM contact_cache
    UNION ALL
    SELECT 'contacts_oldest', '', extract(epoch FROM moment - min(c.fetched_at)) FROM contact_cache c HAVING count(*) > 0
    UNION ALL
    SELECT 'cron_success', r.job, extract(epoch FROM max(r.finished_at)) FROM runs r WHERE r.succeeded GROUP BY r.job
    UNION ALL
    SELECT 'cron_failed', r.job, CASE WHEN r.succeeded THEN 0 ELSE 1 END FROM runs r WHERE r.age = 1
    UNION ALL
    SELECT 'partitions_ahead', p.parent, extract(epoch FROM p.ends - moment) FROM parts p WHERE p.ends IS NOT NULL
    UNION ALL
    SELECT w.figure, '', w.value
    FROM (SELECT count(*) AS pending, extract(epoch FROM moment - min(q.due_at) FILTER (WHERE q.due_at <= moment)) AS oldest
        FROM event_queue q WHERE q.state = 'pending') AS hooks
    CROSS JOIN LATERAL (VALUES ('webhooks_pending', hooks.pending::double precision), ('webhooks_oldest', hooks.oldest)) AS w (figure, value)
    WHERE w.value IS NOT NULL
    UNION ALL
    SELECT 'webhooks_dead', '', count(*) FROM event_queue q WHERE q.state = 'dead' AND q.finished_at > moment - interval '1 day'
    UNION ALL
    SELECT 'nodes', '', count(*) FROM engine_nodes n WHERE n.seen_at > clock_timestamp() - interval '1 minute'
$$;
GRANT EXECUTE ON FUNCTION gateway_operations(timestamptz) TO gateway_engine, gateway_cron;

RESET ROLE;
