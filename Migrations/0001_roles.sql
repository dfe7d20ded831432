-- Logins and their rights. Roles belong to the whole cluster, so several databases may run this at the same time:
-- each step is skipped when it is done, and repeated when another session was quicker.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT role_name, can_login
        FROM (VALUES ('gateway_schema', false), ('gateway_migrator', true), ('gateway_api', true), ('gateway_engine', true), ('gateway_cron', true))
            AS roles (role_name, can_login)
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role_name) THEN
                EXECUTE format('CREATE ROLE %I %s NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS INHERIT',
                    wanted.role_name, CASE WHEN wanted.can_login THEN 'LOGIN' ELSE 'NOLOGIN' END);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database's migration made it meanwhile
        END;
    END LOOP;
    BEGIN
        IF NOT pg_has_role('gateway_migrator', 'gateway_schema', 'MEMBER') THEN
            GRANT gateway_schema TO gateway_migrator;
        END IF;
        IF NOT pg_has_role(current_user, 'gateway_schema', 'MEMBER') THEN
            EXECUTE format('GRANT gateway_schema TO %I', current_user);
        END IF;
    EXCEPTION WHEN unique_violation OR internal_error THEN
        NULL;  -- "tuple concurrently updated": the same grant from another session
    END;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO gateway_migrator, gateway_api, gateway_engine, gateway_cron', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO gateway_schema', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO gateway_schema;
GRANT USAGE ON SCHEMA public TO gateway_api, gateway_engine, gateway_cron, gateway_migrator;

SET LOCAL ROLE gateway_schema;

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The accounts that the current transaction may touch; none when nothing was set (the setting reads '' once it was used in a session).
CREATE FUNCTION gateway_accounts() RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('gateway.accounts', true), '')::uuid[];

-- A UUIDv7 (RFC 9562 section 5.7) of that moment.
CREATE FUNCTION gateway_uuid7(moment timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(
    set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid()) PLACING substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid;

-- The lowest UUIDv7 of that moment: a partition bound.
CREATE FUNCTION gateway_uuid7_bound(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN rpad(lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid;

GRANT EXECUTE ON FUNCTION gateway_accounts(), gateway_uuid7(timestamptz), gateway_uuid7_bound(timestamptz)
    TO gateway_api, gateway_engine, gateway_cron;

-- Gives a tenant table its row-level security (the list is read once per statement, thanks to the sub-select): the transaction's accounts for everybody, all rows for the owner's own functions.
CREATE PROCEDURE gateway_isolate(target regclass)
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY tenant ON %s USING (account_id = ANY ((SELECT gateway_accounts())::uuid[]))
        WITH CHECK (account_id = ANY ((SELECT gateway_accounts())::uuid[]))', target);
    EXECUTE format('CREATE POLICY owner ON %s TO gateway_schema USING (true) WITH CHECK (true)', target);
END
$$;

RESET ROLE;
