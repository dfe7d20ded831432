import API
import Domain
import Foundation
import TestSupport
import Testing

@Suite struct AlertRouteTests {
    private static let siti = TelegramChat(id: 42, kind: .private, title: "Siti")

    @Test func `a Telegram chat is linked by a token, seen, confirmed, and then a channel`() async throws {
        try await withAPI { api in
            let started = try await api.call(.post, "/v1/alerts/telegram-link")
            let drawn = try await api.call(.post, "/v1/alerts/telegram-link", headers: ["Accept": "image/svg+xml"])
            let path = "/v1/alerts/telegram-link/\(started.id)"
            let url = try #require(started.json["url"] as? String)
            let token = String(url.suffix(43))
            #expect(started.status == 201 && started.header("Location") == path && url == "https://t.me/shop_alerts_bot?start=\(token)")
            #expect(started.json["group_url"] as? String == "https://t.me/shop_alerts_bot?startgroup=\(token)")
            #expect((started.json["qr_svg"] as? String)?.hasPrefix("<svg ") == true)
            #expect(
                drawn.status == 201 && drawn.text.hasPrefix("<svg ") && drawn.header("Location")?.hasPrefix("/v1/alerts/telegram-link/lnk_") == true)
            #expect(try await api.call(.get, path).json["state"] as? String == "waiting")
            let early = try await api.call(.post, "\(path)/confirm")
            #expect(early.status == 409 && early.code == "link_not_taken")

            _ = try #require(
                try await api.test.gateway.alerts.takeTelegramLink(token: token, chat: Self.siti, language: .indonesian, now: api.test.now))
            let taken = try await api.call(.get, path)
            let channel = taken.json["channel"] as? [String: Any] ?? [:]
            #expect(
                taken.json["state"] as? String == "linked" && channel["address"] as? String == "Siti" && channel["state"] as? String == "unverified")
            let confirmed = try await api.call(.post, "\(path)/confirm")
            let again = try await api.call(.post, "\(path)/confirm")
            #expect(confirmed.status == 200 && confirmed.json["state"] as? String == "active" && confirmed.json["chat_type"] as? String == "private")
            #expect(again.status == 200 && again.id == confirmed.id)
            #expect(try await api.call(.get, "/v1/alerts/channels").data.map { $0["id"] as? String } == [confirmed.id])

            let other = try #require(drawn.header("Location"))
            #expect(try await api.call(.delete, other).status == 204)
            #expect(try await api.call(.get, other).status == 404)
            #expect(try await api.call(.delete, "/v1/alerts/channels/\(confirmed.id)").status == 204)
            #expect(try await api.call(.get, "/v1/alerts/channels/\(confirmed.id)").status == 404)
        }
    }

    @Test func `an e-mail address gets nothing but a question until somebody presses the button behind its link`() async throws {
        try await withAPI { api in
            let body =
                #"{"type": "email", "address": "Ops@Example.com", "minimum_severity": "warning", "quiet_hours": {"from": "22:00", "to": "06:05"}}"#
            let made = try await api.call(.post, "/v1/alerts/channels", body, headers: ["Idempotency-Key": "ops"])
            let repeated = try await api.call(.post, "/v1/alerts/channels", body, headers: ["Idempotency-Key": "ops"])
            let twice = try await api.call(.post, "/v1/alerts/channels", body)
            #expect(
                made.status == 201 && made.header("Location") == "/v1/alerts/channels/\(made.id)"
                    && made.json["address"] as? String == "Ops@example.com")
            #expect(made.json["quiet_hours"] as? [String: String] == ["from": "22:00", "to": "06:05"])
            #expect(repeated.id == made.id && repeated.header("Idempotent-Replayed") == "true")
            #expect(twice.status == 409 && twice.code == "channel_exists")
            let path = "/v1/alerts/channels/\(made.id)"
            let untold = try await api.call(.post, "\(path)/test")
            #expect(untold.status == 409 && untold.code == "channel_not_active")

            let deadline = api.test.now.addingTimeInterval(60)
            let notices = try await api.test.gateway.alerts.claimNotices(limit: 10, now: api.test.now, deadline: deadline)
            #expect(notices.map(\.occasion) == [.verification])
            let token = try #require(notices.first?.secret)
            let page = try await api.call(.get, "/verify-email?token=\(token)", key: "")
            #expect(page.status == 200 && page.text.contains(#"<form method="post" action="/verify-email">"#) && page.text.contains(token))
            #expect(page.header("Content-Security-Policy")?.contains("form-action 'self'") == true && page.header("Referrer-Policy") == "no-referrer")
            #expect(page.header("Cache-Control") == "no-store")
            #expect(try await api.call(.get, path).json["state"] as? String == "unverified")

            let form = ["Content-Type": "application/x-www-form-urlencoded"]
            let pressed = try await api.call(.post, "/verify-email", "token=\(token)", key: "", headers: form)
            let used = try await api.call(.post, "/verify-email", "token=\(token)", key: "", headers: form)
            #expect(pressed.status == 200 && used.status == 404)
            #expect(try await api.call(.get, path).json["state"] as? String == "active")

            api.test.clock.advance(by: 600)
            let test = try await api.call(.post, "\(path)/test")
            let soon = try await api.call(.post, "\(path)/test")
            #expect(test.status == 202 && (test.json["notice"] as? String)?.hasPrefix("ntc_") == true)
            #expect(soon.status == 429 && soon.json["limit"] as? String == "channel_messages" && soon.header("Retry-After") != nil)
            let log = try await api.call(.get, "\(path)/notices").data
            #expect(log.map { $0["occasion"] as? String }.contains("self_test"))
        }
    }

    @Test(arguments: [
        "", "?token=", "?token=a", "?token=\(String(repeating: "a", count: 43))&token=b", "?token=\(String(repeating: "%3C", count: 43))",
    ])
    func `a link that is none shows nothing of what came with it`(_ query: String) async throws {
        try await withAPI { api in
            let page = try await api.call(.get, "/verify-email\(query)", key: "")
            #expect(page.status == 404 && page.text.contains("does not work") && !page.text.contains("<form"))
            let bytes = String(repeating: "x", count: 100_000)
            for body in ["", "token=", "token=\(String(repeating: "a", count: 43))", bytes, "token=\(bytes)", #"{"token": 1}"#] {
                #expect(try await api.call(.post, "/verify-email", body, key: "").status == 404)
            }
        }
    }

    @Test func `settings of a channel change one by one, and null takes away what can be taken away`() async throws {
        try await withAPI { api in
            let made = try await api.call(.post, "/v1/alerts/channels", #"{"type": "email", "address": "ops@example.com", "kinds": ["queue_old"]}"#)
            let path = "/v1/alerts/channels/\(made.id)"
            #expect(made.json["kinds"] as? [String] == ["queue_old"] && made.json["digest_hour"] as? Int == 8)

            let changed = try await api.call(
                .patch, path,
                #"{"language": "id", "time_zone": "Europe/Berlin", "quiet_hours": {"from": "21:00", "to": "07:00"}, "escalation_only": true}"#)
            #expect(changed.json["language"] as? String == "id" && changed.json["time_zone"] as? String == "Europe/Berlin")
            #expect(changed.json["kinds"] as? [String] == ["queue_old"] && changed.json["escalation_only"] as? Bool == true)
            let cleared = try await api.call(.patch, path, #"{"kinds": null, "quiet_hours": null, "digest_hour": null}"#)
            #expect(cleared.json["kinds"] is NSNull && cleared.json["quiet_hours"] is NSNull && cleared.json["digest_hour"] is NSNull)
            #expect(cleared.json["language"] as? String == "id")

            let muted = try await api.call(.post, "\(path)/mute", #"{"seconds": 7200}"#)
            #expect(muted.json["muted_until"] as? String == "2026-05-28T22:26:40.000Z")
            #expect(try await api.call(.post, "\(path)/mute", #"{"seconds": 0}"#).json["muted_until"] is NSNull)
        }
    }

    @Test func `channels that cannot be meant are refused at each place that is wrong`() async throws {
        try await withAPI { api in
            let cases: [(String, [String])] = [
                ("{}", ["/type required", "/address required"]),
                (#"{"type": "telegram", "address": "ops@example.com"}"#, ["/type unsupported"]),
                (#"{"type": "email", "address": "ops@localhost"}"#, ["/address invalid_value"]),
                (#"{"type": "email", "address": "a\r\nBcc: b@example.com"}"#, ["/address invalid_value"]),
                (#"{"type": "email", "address": 1}"#, ["/address wrong_type"]),
                (#"{"type": "email", "address": "ops@example.com", "quiet_hours": {"from": "22:00"}}"#, ["/quiet_hours/to required"]),
                (
                    #"{"type": "email", "address": "ops@example.com", "kinds": ["all"], "time_zone": "Mars", "digest_hour": 24, "language": "de"}"#,
                    ["/digest_hour out_of_range", "/kinds/0 invalid_value", "/language invalid_value", "/time_zone invalid_value"]
                ),
            ]
            for (body, places) in cases {
                let answer = try await api.call(.post, "/v1/alerts/channels", body)
                #expect(
                    answer.status == 422 && answer.code == "invalid_request" && answer.places.sorted() == places.sorted(), "\(body): \(answer.text)")
            }
            #expect(try await api.call(.get, "/v1/alerts/channels").data.isEmpty)
        }
    }

    @Test func `a rule with an impossible threshold has its own code, and nothing changes`() async throws {
        try await withAPI { api in
            let path = "/v1/alerts/rules/sender_down"
            let before = try await api.call(.get, path)
            let cases: [(String, [String])] = [
                (#"{"open_after": -1}"#, ["/open_after out_of_range"]), (#"{"open_after": 86401}"#, ["/open_after out_of_range"]),
                (#"{"share": 0.5}"#, ["/share unsupported"]), (#"{"escalate_after": 1}"#, ["/escalate_after out_of_range"]),
                (#"{"severity": "loud", "clear_after": 99999999}"#, ["/severity invalid_value", "/clear_after out_of_range"]),
            ]
            for (body, places) in cases {
                let answer = try await api.call(.patch, path, body)
                #expect(answer.status == 422 && answer.code == "invalid_alert_rule" && answer.places == places, "\(body): \(answer.text)")
            }
            #expect(try await api.call(.get, path).text == before.text)
            let wrong = try await api.call(.patch, path, #"{"open_after": "soon", "loud": true}"#)
            #expect(wrong.code == "invalid_request" && wrong.places == ["/open_after wrong_type", "/loud unknown_field"])

            let changed = try await api.call(.patch, path, #"{"open_after": 600, "escalate_after": null, "enabled": false}"#)
            #expect(
                changed.json["open_after"] as? Int == 600 && changed.json["escalate_after"] is NSNull && changed.json["is_default"] as? Bool == false)
            let rules = try await api.call(.get, "/v1/alerts/rules").data
            #expect(rules.compactMap { $0["kind"] as? String } == AlertKind.allCases.map(\.rawValue))
            let reset = try await api.call(.delete, path)
            #expect(reset.json["open_after"] as? Int == 180 && reset.json["is_default"] as? Bool == true)
            #expect(try await api.call(.patch, "/v1/alerts/rules/sender_bored", "{}").status == 404)
        }
    }

    @Test func `an alert is listed, silenced and acknowledged, by its own account only`() async throws {
        try await withAPI { api in
            // Making the account's key was worth an alert.
            _ = try await api.test.gateway.alerts.watch(operator: nil, includesTest: true, now: api.test.now)
            let list = try await api.call(.get, "/v1/alerts/history")
            let alert = try #require(list.data.first { $0["kind"] as? String == "key_created" })
            let path = "/v1/alerts/history/\(try #require(alert["id"] as? String))"
            #expect(alert["status"] as? String == "open" && alert["runbook"] as? String == "/docs/alerts/key_created")
            #expect((alert["subjects"] as? [[String: Any]])?.map { $0["id"] as? String } == [api.keyID.description])
            #expect(try await api.call(.get, "/v1/alerts/history?kind=queue_old,cron_late").data.isEmpty)
            #expect(try await api.call(.get, "/v1/alerts/history?status=cleared").data.isEmpty)
            #expect(try await api.call(.get, "/v1/alerts/history?status=open&kind=key_created&severity=warning").data.count == 1)
            let bad = try await api.call(.get, "/v1/alerts/history?status=old&kind=x&severity=")
            #expect(bad.places == ["/kind invalid_value", "/severity invalid_value", "/status invalid_value"])

            let silenced = try await api.call(.post, "\(path)/silence", #"{"seconds": 3600}"#)
            #expect(silenced.json["silenced_until"] as? String == "2026-05-28T21:26:40.000Z")
            #expect(try await api.call(.post, "\(path)/silence", #"{"seconds": 2592001}"#).places == ["/seconds out_of_range"])
            #expect(try await api.call(.post, "\(path)/silence", #"{"seconds": 0}"#).json["silenced_until"] is NSNull)
            let acknowledged = try await api.call(.post, "\(path)/acknowledge")
            #expect((acknowledged.json["acknowledged_by"] as? [String: Any])?["key"] as? String == api.keyID.description)

            let (other, _, _) = try await api.test.makeReadySender()
            let foreign = try await api.test.gateway.apiKeys.create(account: other, label: "other", test: true, now: api.test.now).secret
            for (method, suffix) in [("GET", ""), ("POST", "/acknowledge")] {
                let answer = try await api.call(method == "GET" ? .get : .post, path + suffix, key: foreign)
                #expect(answer.status == 404 && answer.code == "not_found")
            }
        }
    }

    @Test func `a test key has no alerts where a sender is live, and without a bot or mail there is nothing to link`() async throws {
        try await withAPI(alerts: AlertSetup()) { api in
            let bot = try await api.call(.post, "/v1/alerts/telegram-link")
            let mail = try await api.call(.post, "/v1/alerts/channels", #"{"type": "email", "address": "ops@example.com"}"#)
            #expect(bot.status == 409 && bot.code == "telegram_not_configured" && mail.status == 409 && mail.code == "email_not_configured")

            let live = try await api.addLive().key
            for path in ["/v1/alerts/history", "/v1/alerts/rules", "/v1/alerts/channels"] {
                let refused = try await api.call(.get, path)
                #expect(refused.status == 403 && refused.code == "live_key_required")
                #expect(try await api.call(.get, path, key: live).status == 200)
            }
        }
    }

    @Test func `answers about alerts have the members that openapi.yaml declares, and those that it requires`() async throws {
        let contract = try Contract()
        try await withAPI { api in
            _ = try await api.test.gateway.alerts.watch(operator: nil, includesTest: true, now: api.test.now)
            let alert = try #require(try await api.call(.get, "/v1/alerts/history").data.first)
            let channel = try await api.call(.post, "/v1/alerts/channels", #"{"type": "email", "address": "ops@example.com"}"#)
            let notices = try await api.call(.get, "/v1/alerts/channels/\(channel.id)/notices")
            let link = try await api.call(.post, "/v1/alerts/telegram-link")
            let answers: [(String, [String: Any])] = [
                ("Alert", alert), ("AlertSubject", (alert["subjects"] as? [[String: Any]])?.first ?? [:]), ("AlertChannel", channel.json),
                ("AlertNoticeList", notices.json), ("AlertNotice", notices.data.first ?? [:]), ("StartedTelegramLink", link.json),
                ("TelegramLink", try await api.call(.get, "/v1/alerts/telegram-link/\(link.id)").json),
                ("AlertRule", try #require(try await api.call(.get, "/v1/alerts/rules").data.first)),
                ("AlertList", try await api.call(.get, "/v1/alerts/history").json),
                ("AlertChannelList", try await api.call(.get, "/v1/alerts/channels").json),
            ]
            for (schema, answer) in answers {
                let declared = try #require(contract.schemas[schema])
                #expect(
                    Set(answer.keys) == declared.required && declared.required.isSubset(of: declared.members), "\(schema): \(answer.keys.sorted())")
                #expect(!declared.required.isEmpty)
            }
        }
    }
}
