@testable import Domain
import Foundation
import Postgres
import Primitives
import Simulator
import TestSupport
import Testing
import WhatsApp

@testable import Sessions

@Suite(.serialized, .timeLimit(.minutes(10))) struct SenderLifeTests {
    @Test func `after pairing the sender is ready and no private key stands readable in any table`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            try await rig.reach(.delivered, try await rig.send("Rahasia 4711", to: "15550120777"))

            let store = try await rig.store(of: sender)
            let credentials = try #require(try await store.credentials())
            let preKey = try #require(try await store.preKeys(Array(1...20)).last)
            let view = try #require(try await rig.gateway.senders.get(sender, account: rig.account))
            #expect(view.number?.digits == "15550100101" && view.pairedAt != nil)
            let keys = [
                credentials.noiseKey.copyBytes(), credentials.identity.keyPair.copyBytes(), credentials.signedPreKey.privateKey.copyBytes(),
                preKey.privateKey.copyBytes(),
            ]
            for secret in keys { #expect(try await rig.places(of: secret).isEmpty) }
            for text in ["Rahasia 4711", "15550120777", "15550100101", credentials.lid.user] {
                #expect(try await rig.places(of: Array(text.utf8)).isEmpty)
            }
            let sealed = try await rig.test.owner.queryOne(
                "test.control", "SELECT sealed FROM sender_devices", as: { try $0.column("sealed", as: [UInt8].self) })
            let control = Array(try #require(sealed).suffix(32))
            #expect(try await rig.places(of: control) == ["sender_devices.sealed"])
            #expect(try await rig.places(of: Array("ready".utf8)).contains("senders.state"))
        }
    }

    @Test func `a pairing that nobody scans ends, and another request shows a new code`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode { configuration in
                configuration.firstCode = .milliseconds(100)
                configuration.laterCode = .milliseconds(20)
                configuration.pairingRounds = 1
            }
            let sender = try await rig.gateway.senders.create(account: rig.account, label: "CS", test: true, now: rig.test.now).id

            #expect(try await rig.gateway.pairing.request(sender: sender, account: rig.account, now: rig.test.now) != nil)
            try await rig.reach(.unpaired, sender)

            let view = try await rig.gateway.senders.get(sender, account: rig.account)
            #expect(view?.stateCode == "pairing_expired")
            try await rig.nodes.stop("node-1")
            await rig.startNode("node-2")
            try await rig.pair(sender, "15550100101")
        }
    }

    @Test func `a second request during a pairing starts with a fresh code`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.gateway.senders.create(account: rig.account, label: "CS", test: true, now: rig.test.now).id
            func code() async throws -> String {
                try await rig.expect("a code") {
                    try await rig.gateway.pairing.current(sender: sender, account: rig.account, now: rig.test.now)?.code?.text
                }
            }
            _ = try await rig.gateway.pairing.request(sender: sender, account: rig.account, now: rig.test.now)
            let first = try await code()
            rig.test.clock.advance(by: 1)

            _ = try await rig.gateway.pairing.request(sender: sender, account: rig.account, now: rig.test.now)
            let second = try await code()

            #expect(first != second)
            try rig.simulator.scan(qr: second, number: "15550100101")
            try await rig.reach(.ready, sender)
        }
    }

    @Test func `a late look at the row does not pair a paired device again`() async throws {
        try await GatewayRig.run { rig in
            let node = await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            let device = try #require(rig.linkedDevice("15550100101")?.jid)
            let epoch = try await rig.store(of: sender).owner.epoch
            // As a renewal saw it before the pairing ended, with a request that no session has served.
            let late = LeasedSender(
                owner: OwnedSender(account: rig.account, sender: sender, epoch: epoch), state: .pairing, isTest: true,
                pairingRequestedAt: rig.test.now.addingTimeInterval(1))

            await node.sessions.session(of: late.owner)?.observe(late, readAt: .now)

            let message = try await rig.send("still here", to: "15550120701")
            try await rig.reach(.delivered, message)
            #expect(rig.linkedDevice("15550100101")?.jid == device)
            #expect(rig.simulator.phones.first { $0.number == "15550100101" }?.linkedDevices.count == 1)
        }
    }

    @Test func `a sender that is removed while connected is unlinked and all it knew is gone`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            try await rig.reach(.delivered, try await rig.send("x", to: "15550120701", sender: sender))
            #expect(try await rig.rows(of: sender, in: GatewayRig.deviceTables) > 0)

            #expect(try await rig.gateway.senders.remove(sender, account: rig.account, now: rig.test.now) == .removing)

            try await rig.reach(nil as SenderState?, sender)
            #expect(rig.simulator.phones.isEmpty)
            #expect(try await rig.rows(of: sender, in: GatewayRig.deviceTables) == 0)
        }
    }

    @Test func `a sender that is removed while its line is cut is unlinked all the same`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode(ttl: .seconds(30))
            let sender = try await rig.pairedSender("15550100101")
            try rig.simulator.disconnect(sender: "15550100101")

            // Whatever the connection is doing at this moment.
            #expect(try await rig.gateway.senders.remove(sender, account: rig.account, now: rig.test.now) == .removing)

            try await rig.reach(nil as SenderState?, sender)
            #expect(rig.simulator.phones.isEmpty)
        }
    }

    @Test func `closing an account unlinks its senders, leaves no row, and another account's messages still flow`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")
            _ = try await rig.pairedSender("15550100102")
            let other = try await rig.gateway.accounts.create(name: "Warung", now: rig.test.now).id
            _ = try await rig.pairedSender("15550100103", account: other)
            for _ in 0..<2 { try await rig.reach(.delivered, try await rig.send("before", to: "15550120701")) }

            #expect(try await rig.gateway.closing.begin(rig.account, now: rig.test.now) != nil)
            _ = try await rig.expect("the closing to end") { try await rig.gateway.closing.open().isEmpty ? true : nil }

            let tables = try await rig.tenantTables()
            #expect(tables.count > 20)
            for table in tables {
                #expect(try await rig.test.count("SELECT 1 AS one FROM \(unescaped: table) WHERE account_id = \(rig.account)") == 0, "\(table)")
            }
            #expect(rig.simulator.phones.map(\.number) == ["15550100103"])
            let message = try await rig.send("after", to: "15550120702", account: other)
            try await rig.reach(.delivered, message)
        }
    }

    @Test func `unlinking on the phone logs out that sender and hinders no other`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let gone = try await rig.pairedSender("15550100101")
            let other = try await rig.pairedSender("15550100102")

            try rig.simulator.unlink(sender: "15550100101")

            try await rig.reach(.loggedOut, gone)
            let message = try await rig.send("still here", to: "15550120701")
            #expect(try await rig.reach(.delivered, message).sender?.id == other)
            try await rig.pair(gone, "15550100101")
        }
    }

    @Test func `a device whose credentials cannot be opened parks only itself, and can be paired again`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let broken = try await rig.pairedSender("15550100101")
            let whole = try await rig.pairedSender("15550100102")
            try await rig.nodes.stop("node-1")
            try await rig.test.owner.execute(
                "test.break", "UPDATE sender_devices SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE sender_id = \(broken)")

            await rig.startNode("node-2")

            try await rig.reach(.parked, broken)
            #expect(try await rig.gateway.senders.get(broken, account: rig.account)?.stateCode == "credentials_unreadable")
            try await rig.reach(.ready, whole)
            let message = try await rig.send("over the other", to: "15550120701")
            #expect(try await rig.reach(.delivered, message).sender?.id == whole)
            try await rig.pair(broken, "15550100101")
        }
    }

    @Test func `a sender that was parked or replaced connects again when a person resumes it, and only then`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")

            try rig.simulator.replace(sender: "15550100101")
            try await rig.reach(.replaced, sender)
            let logins = rig.simulator.counters.logins
            #expect(try await rig.gateway.senders.resume(sender, account: rig.account, now: rig.test.now) == .connecting)
            try await rig.reach(.ready, sender)
            #expect(rig.simulator.counters.logins == logins + 1)

            let seal = "UPDATE sender_devices SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE sender_id = "
            try await rig.test.owner.execute("test.break", "\(SQL(unescaped: seal))\(sender)")
            try rig.simulator.disconnect(sender: "15550100101", code: nil)
            try await rig.nodes.stop("node-1")
            await rig.startNode("node-2")
            try await rig.reach(.parked, sender)
            try await rig.test.owner.execute("test.mend", "\(SQL(unescaped: seal))\(sender)")
            #expect(try await rig.gateway.senders.resume(sender, account: rig.account, now: rig.test.now) == .connecting)
            try await rig.reach(.ready, sender)
        }
    }

    @Test func `after 503 and after a cut line the sender connects again`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")

            for code in [503, nil] {
                let logins = rig.simulator.counters.logins
                try rig.simulator.disconnect(sender: "15550100101", code: code)
                _ = try await rig.expect("another login") { rig.simulator.counters.logins > logins ? true : nil }
                let message = try await rig.send("after \(code ?? 0)", to: "15550120701")
                try await rig.reach(.delivered, message)
            }
        }
    }

    @Test func `credentials that connect elsewhere are not fought over`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            let logins = rig.simulator.counters.logins

            try rig.simulator.replace(sender: "15550100101")

            try await rig.reach(.replaced, sender)
            #expect(rig.simulator.counters.logins == logins)
            try await rig.pair(sender, "15550100101")
        }
    }
}

extension GatewayRig {
    func tenantTables() async throws -> [String] {
        try await test.owner.query(
            "test.tables",
            """
            SELECT c.relname::text AS name
            FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
            WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
            """, as: { try $0.column("name", as: String.self) })
    }

    /// The columns in which these bytes stand: raw, or as hex or base64 in a text.
    func places(of bytes: [UInt8]) async throws -> [String] {
        let columns = try await test.owner.query(
            "test.columns",
            """
            SELECT c.relname::text AS tab, a.attname::text AS col, (a.atttypid = 'bytea'::regtype) AS raw
            FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
              AND a.atttypid IN ('bytea'::regtype, 'text'::regtype, 'jsonb'::regtype)
            """
        ) {
            (table: try $0.column("tab", as: String.self), column: try $0.column("col", as: String.self), isRaw: try $0.column("raw", as: Bool.self))
        }
        var found: [String] = []
        let texts = [String(bytes: bytes, encoding: .utf8), Hex.encode(bytes), Data(bytes).base64EncodedString()].compactMap { $0 }
        for (table, column, isRaw) in columns {
            let hits =
                isRaw
                ? try await test.count("SELECT 1 AS one FROM \(unescaped: table) WHERE position(\(bytes) IN \(unescaped: column)) > 0")
                : try await test.count(
                    "SELECT 1 AS one FROM \(unescaped: table), unnest(\(texts)) AS needle WHERE position(needle IN \(unescaped: column)::text) > 0")
            if hits > 0 { found.append("\(table).\(column)") }
        }
        return found
    }
}
