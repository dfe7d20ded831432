import Domain
import Fakes
import Foundation
import Postgres
import Primitives
import Proof

extension ProcessFault {
    /// Telegram and Resend, and what they do to us.
    static let alerts: [ProcessFault] = [
        ProcessFault(
            name: "F90", injected: "Telegram answers 429 with retry_after 35; 403 blocked; 400 chat not found; the group has become a supergroup",
            expected: "the wait is kept; blocked chats are dead and e-mail tells instead; the channel follows the group; no alert is lost"
        ) { try await AlertStage.with(chatTrouble) },
        ProcessFault(
            name: "F91", injected: "Resend takes an e-mail and never answers, then 500, 409 in flight, 429; later a day passes",
            expected: "one Idempotency-Key and one text for all tries, one e-mail; after its day a new notice, since it still holds"
        ) { try await AlertStage.with(mailTrouble) },
        ProcessFault(
            name: "F92", injected: "1,000 senders of an account drop, in two waves; the hourly job is late at the same time",
            expected: "one notice an account in 5 minutes, at most one a minute to the operator"
        ) { try await AlertStage.with(storm) },
        ProcessFault(
            name: "F93", injected: "Telegram's webhook: a forged secret, none, a replayed update with another account's link in it",
            expected: "refused before anything is read; an update counts once; nobody is linked to a foreign account"
        ) { try await AlertStage.with(webhookSecret: secret, forgeries) },
    ]

    private static let secret = "a-secret_of_the_proof_0123456789"

    // MARK: F90

    private static func chatTrouble(_ stage: AlertStage) async throws -> Seen {
        var wrong: [String] = []
        func customer(_ chat: FakeTelegram.Chat, mail: String?) async throws -> (AlertStage.Customer, channel: String) {
            let customer = try await stage.addCustomer()
            if let mail { try await stage.addEmail(mail, to: customer, isEscalationOnly: true) }
            return (customer, try await stage.link(chat, to: customer))
        }
        // Everybody is linked first: an order is for the next message, whoever's it is.
        let chats = [FakeTelegram.Chat(101), .init(102), .init(103), .init(-104, name: "Ops")]
        let flooded = try await customer(chats[0], mail: nil)
        let blocked = try await customer(chats[1], mail: "blocked@example.com")
        let missing = try await customer(chats[2], mail: "missing@example.com")
        let moved = try await customer(chats[3], mail: nil)
        func isTold(_ chat: Int64) -> Bool { stage.telegram.messages(in: chat).contains { $0.html.contains("logged out") } }

        stage.telegram.blockSilently(chats[1])
        stage.telegram.migrate(chats[3], to: -1_000_000_000_104)
        try await stage.makeTrouble(blocked.0)
        try await stage.makeTrouble(moved.0)
        try await stage.wait("the blocked chat to be dead") { try await stage.channelState(blocked.channel, blocked.0) == "blocked" }
        try await stage.wait("e-mail to tell instead") {
            stage.resend.mails.contains { $0.to == ["blocked@example.com"] && $0.subject.contains("Nobody has acknowledged") }
        }
        try await stage.wait("the group to be followed") { isTold(-1_000_000_000_104) }

        stage.telegram.order(.chatNotFound, for: "sendMessage")
        try await stage.makeTrouble(missing.0)
        try await stage.wait("the missing chat to be dead") { try await stage.channelState(missing.channel, missing.0) == "blocked" }
        try await stage.wait("e-mail to tell instead") {
            stage.resend.mails.contains { $0.to == ["missing@example.com"] && $0.subject.contains("Nobody has acknowledged") }
        }

        stage.telegram.order(.flood(retryAfter: 35), for: "sendMessage")
        try await stage.makeTrouble(flooded.0)
        try await stage.wait("the alert after the wait") { isTold(101) }
        let tries = stage.telegram.calls.filter { $0.method == "sendMessage" && $0.chat == 101 }.suffix(2).map(\.at)
        let waited = tries.count == 2 ? tries[1].timeIntervalSince(tries[0]) : 0
        if !(35...45).contains(waited) { wrong.append("waited \(tenths(waited)) s") }
        for (chat, most) in [(Int64(102), 3), (103, 3)] {
            let calls = stage.telegram.calls.filter { $0.method == "sendMessage" && $0.chat == chat }.count
            if calls > most { wrong.append("\(calls) requests to the dead chat \(chat)") }
        }
        return Seen(
            isOK: wrong.isEmpty,
            what: "429: sent again after \(tenths(waited)) s; 403 and 400: channel blocked, e-mail sent; migrated: told in the supergroup"
                + (wrong.isEmpty ? "" : "; WRONG: " + wrong.joined(separator: "; ")))
    }

    // MARK: F91

    private static func mailTrouble(_ stage: AlertStage) async throws -> Seen {
        var wrong: [String] = []
        let customer = try await stage.addCustomer()
        try await stage.addEmail("one@example.com", to: customer)
        stage.resend.order(.hangAfterAccept, .server(500), .concurrent, .limited(retryAfter: 3))
        let before = stage.resend.calls.count
        try await stage.makeTrouble(customer)
        try await stage.wait("the e-mail to be taken", for: .seconds(240)) { stage.resend.calls.dropFirst(before).contains { $0.status == 200 } }
        let calls = stage.resend.calls.dropFirst(before)
        if Set(calls.map(\.key)).count != 1 { wrong.append("\(Set(calls.map(\.key)).count) keys") }
        if Set(calls.map(\.body)).count != 1 { wrong.append("\(Set(calls.map(\.body)).count) texts") }
        let mails = stage.resend.mails.count { $0.subject.contains("logged out") }
        if mails != 1 { wrong.append("\(mails) e-mails") }

        // Its day passes while Resend is away.
        let second = try await stage.addCustomer()
        try await stage.addEmail("two@example.com", to: second)
        stage.resend.order(.server(503), .server(503))
        let from = stage.resend.calls.count
        try await stage.makeTrouble(second)
        try await stage.wait("the first try") { stage.resend.calls.count > from }
        let account = try Account.ID(text: second.id)
        try await stage.wait("it to be written down") {
            try await stage.world.database.ask(
                "proof.tried", "SELECT 1 AS one FROM alert_notices WHERE account_id = \(account) AND state = 'pending' AND NOT claimed AND tries > 0"
            ) { _ in true }.isEmpty == false
        }
        try await stage.world.database.tell(
            "proof.later",
            """
            UPDATE alert_notices SET first_tried_at = clock_timestamp() - interval '23 hours 1 minute', due_at = clock_timestamp()
            WHERE account_id = \(account) AND state = 'pending'
            """)
        // With it, the five minutes between two notices.
        try await stage.world.database.tell(
            "proof.pace", "UPDATE alert_channels SET fired_at = fired_at - interval '10 minutes' WHERE account_id = \(account)")
        try await stage.wait("a new notice", for: .seconds(240)) {
            stage.resend.mails.contains { $0.to == ["two@example.com"] && $0.subject.contains("logged out") }
        }
        let later = stage.resend.calls.dropFirst(from)
        let keys = Set(later.map(\.key)).count
        if keys != 2 { wrong.append("\(keys) keys after its day") }
        return Seen(
            isOK: wrong.isEmpty,
            what: "\(calls.count) tries, one key, one text, \(mails) e-mail; after its day told under a second key"
                + (wrong.isEmpty ? "" : "; WRONG: " + wrong.joined(separator: "; ")))
    }

    // MARK: F92

    private static func storm(_ stage: AlertStage) async throws -> Seen {
        let customer = AlertStage.Customer(
            id: stage.world.accountID, key: try await World.makeKey(stage.world.nodes[0], stage.world.accountID, test: false))
        let chat = FakeTelegram.Chat(201)
        try await stage.link(chat, to: customer)
        try await stage.addEmail("storm@example.com", to: customer)
        for place in 0..<1_000 {
            let made = try await HTTP.request(
                "POST", stage.world.nodes[0].baseURL + "/v1/senders", key: stage.world.key, idempotencyKey: "storm-\(place)",
                body: ["label": "S \(place)"])
            guard made.status == 201 else { throw ProofFailure("POST /v1/senders: \(made.status)") }
        }
        // What was told so far is not what is counted.
        try await ContinuousClock().sleep(for: .seconds(12))
        let account = try Account.ID(text: customer.id)
        func later() async throws {
            try await stage.world.database.tell(
                "proof.later", "UPDATE alert_channels SET fired_at = fired_at - interval '10 minutes' WHERE account_id = \(account)")
        }
        func drop(_ count: Int) async throws {
            try await stage.world.database.tell(
                "proof.drop",
                """
                UPDATE senders s SET state = 'logged_out', state_since = clock_timestamp()
                FROM (SELECT sender_id FROM senders WHERE account_id = \(account) AND state = 'unpaired' ORDER BY sender_id LIMIT \(Int64(count))) d
                WHERE s.account_id = \(account) AND s.sender_id = d.sender_id
                """)
        }
        func told() -> (chat: Int, mail: Int) {
            (
                stage.telegram.messages(in: chat.id).count { $0.html.contains("logged out") },
                stage.resend.mails.count { $0.subject.contains("logged out") }
            )
        }
        try await later()
        try await drop(500)
        try await stage.wait("the alert") { told().chat > 0 && told().mail > 0 }
        try await drop(500)
        try await ContinuousClock().sleep(for: .seconds(60))
        let first = told()
        try await later()
        try await stage.wait("the rest") { told().chat > 1 && told().mail > 1 }
        try await ContinuousClock().sleep(for: .seconds(20))
        let second = told()
        let last = stage.telegram.messages(in: chat.id).last { $0.html.contains("logged out") }?.html ?? ""
        let isWhole = last.contains("1000 senders were logged out")
        return Seen(
            isOK: first == (1, 1) && second == (2, 2) && isWhole,
            what: "within 5 minutes \(first.chat) message and \(first.mail) e-mail, after them \(second.chat - first.chat) and "
                + "\(second.mail - first.mail) more; the last one names \(isWhole ? "1000" : "not all") senders")
    }

    // MARK: F93

    private static func forgeries(_ stage: AlertStage) async throws -> Seen {
        var wrong: [String] = []
        try await stage.wait("the webhook to be set") { stage.telegram.webhook != nil }
        let mine = try await stage.addCustomer()
        let theirs = try await stage.addCustomer()
        let (link, token) = try await stage.startLink(mine)
        let (other, otherToken) = try await stage.startLink(theirs)
        func update(_ id: Int, _ token: String, chat: Int) -> [UInt8] {
            Array(
                #"{"update_id":\#(id),"message":{"message_id":\#(id),"date":1,"from":{"id":\#(chat),"is_bot":false,"first_name":"Eve"},"#.utf8)
                + Array(#""chat":{"id":\#(chat),"type":"private","first_name":"Eve"},"text":"/start \#(token)"}}"#.utf8)
        }
        stage.telegram.open(.init(301))
        stage.telegram.open(.init(302))
        let header = "x-telegram-bot-api-secret-token"
        var refused: [Int] = []
        for forged in [nil, "x", String(secret.dropLast()), secret + "0", secret.uppercased(), String(secret.reversed())] {
            refused.append(
                try await stage.post("/hooks/telegram", update(1, token, chat: 302), forged.map { [header: $0] } ?? [:]))
        }
        if refused.contains(where: { $0 != 404 }) { wrong.append("forged secrets: \(refused)") }
        if try await stage.linkState(link, mine) != "waiting" { wrong.append("a forged update linked a chat") }

        let genuine = try await stage.post("/hooks/telegram", update(7, token, chat: 301), [header: secret])
        try await stage.wait("the chat to take the link") { try await stage.linkState(link, mine) == "linked" }
        // The same update again, as it was and with the other account's link in it; and the used link from another chat.
        var again: [Int] = []
        for body in [update(7, token, chat: 301), update(7, otherToken, chat: 302), update(8, token, chat: 302)] {
            again.append(try await stage.post("/hooks/telegram", body, [header: secret]))
        }
        if genuine != 200 || again.contains(where: { $0 != 200 }) { wrong.append("genuine: \(genuine), again: \(again)") }
        if try await stage.linkState(other, theirs) != "waiting" { wrong.append("a replayed update linked a foreign account") }
        let answers = stage.telegram.calls.filter { $0.method == "sendMessage" && $0.chat == 301 }.count
        if answers != 1 { wrong.append("\(answers) answers to one update") }
        for rubbish in ["", "{", "[]", "{\"update_id\":\"7\"}", String(repeating: "[", count: 100_000)] {
            let status = try await stage.post("/hooks/telegram", Array(rubbish.utf8), [header: secret])
            if status >= 500 { wrong.append("rubbish: \(status)") }
        }
        return Seen(
            isOK: wrong.isEmpty,
            what: "\(refused.count) forged requests \(Set(refused).sorted()), 1 update answered \(answers) time, replays changed nothing"
                + (wrong.isEmpty ? "" : "; WRONG: " + wrong.joined(separator: "; ")))
    }
}
