import Domain
import Foundation
import Testing
import Web

@Suite struct ContractTests {
    @Test func `every problem code has its page and stands in openapi.yaml, and no other does`() throws {
        let codes = ProblemCode.allCases.map(\.rawValue)
        let contract = try Repository.text("Sources/gateway/Docs/openapi.yaml")
        let line = try #require(contract.split(separator: "\n").first { $0.contains("enum: [invalid_json,") })
        let listed = line.drop { $0 != "[" }.dropFirst().prefix { $0 != "]" }.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }

        #expect(listed.sorted() == codes.sorted())
        for code in ProblemCode.allCases {
            let page = try Repository.text("Sources/gateway/Docs/errors/\(code.rawValue).md")
            #expect(page.hasPrefix("# \(code.rawValue)\n\nStatus \(code.status.code).\n"), "\(code.rawValue)")
        }
        let page = try Repository.text("Sources/gateway/Docs/errors/invalid_request.md")
        for code in InvalidMessage.Code.allCases { #expect(page.contains("`\(code.rawValue)`")) }
        for code in SettingsProblem.Code.allCases { #expect(page.contains("`\(code.rawValue)`"), "\(code.rawValue)") }
    }

    @Test func `every refusal of an operation names its codes, and every code is named with its own status`() throws {
        let contract = try Repository.text("Sources/gateway/Docs/openapi.yaml")
        let named = Set(contract.matches(of: /x-codes: \[([a-z_, ]+)\]/).flatMap { $0.output.1.split(separator: ", ").map(String.init) })
        #expect(named == Set(ProblemCode.allCases.map(\.rawValue)).subtracting(["method_not_allowed"]))
        let list = try Repository.text("Sources/gateway/Docs/errors.md")
        for code in ProblemCode.allCases {
            #expect(
                list.contains("| [\(code.rawValue)](/docs/errors/\(code.rawValue)) | \(code.status.code) | \(code.title) |\n"), "\(code.rawValue)")
        }
    }

    @Test func `the closed lists of openapi.yaml are those of the code`() throws {
        let contract = try Repository.text("Sources/gateway/Docs/openapi.yaml")
        #expect(contract.contains("enum: [\(MessageStatus.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(MessageEvent.Kind.allCases.map(\.rawValue).joined(separator: ", "))]"))
        let policies = RoutingPolicy.allCases.map(\.rawValue)
        #expect(contract.contains("enum: [\(policies.joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(RoutingPolicy.ofPools.map(\.rawValue).joined(separator: ", ")), null]"))
        let limits = LimitCode.allCases.map(\.rawValue)
        #expect(contract.contains("enum: [\(limits.joined(separator: ", ")), null]"))
        #expect(contract.contains("enum: [\((RouteVerdict.allCases.map(\.rawValue) + limits).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(SenderCondition.Code.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(MessageAttempt.Outcome.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(
            contract.contains("    AlertKind:\n      type: string\n      enum: [\(AlertKind.allCases.map(\.rawValue).joined(separator: ", "))]\n"))
        #expect(contract.contains("enum: [\(AlertSeverity.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(AlertKind.SubjectKind.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(Alert.Ending.allCases.map(\.rawValue).joined(separator: ", ")), null]"))
        #expect(contract.contains("enum: [\(AlertThresholds.Field.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(AlertNotice.Occasion.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(AlertNotice.State.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(AlertChannel.Kind.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(contract.contains("enum: [\(TelegramChat.Kind.allCases.map(\.rawValue).joined(separator: ", ")), null]"))
    }

    @Test func `answers have the members that openapi.yaml declares, and those that it requires`() async throws {
        let contract = try Contract()
        try await withAPI { api in
            let more = #", "reference": "order-17", "metadata": {"k": "v"}"#
            let message = try await api.call(.post, "/v1/messages", TestAPI.message(more: more))
            let events = try await api.call(.get, "/v1/messages/\(message.id)/events")
            let sender = try await api.call(.get, "/v1/senders/\(api.sender)")
            let made = try await api.call(.post, "/v1/senders", "{}")
            let pairing = try await api.call(.post, "/v1/senders/\(made.id)/pairing")
            let idle = try await api.call(.get, "/v1/senders/\(api.sender)/pairing")
            let problem = try await api.call(.post, "/v1/messages", "{}")
            let list = try await api.call(.get, "/v1/messages")
            let ready = try await api.call(.get, "/readyz")
            let explanation = try await api.call(.post, "/v1/messages/explain", TestAPI.message())
            let considered = (explanation.json["senders"] as? [[String: Any]])?.first ?? [:]
            let batch = try await api.call(.post, "/v1/messages/batch", #"{"messages": [\#(TestAPI.message()), {}]}"#)
            let results = batch.json["results"] as? [[String: Any]] ?? []
            let found = try await api.call(.get, "/v1/messages/\(message.id)")
            let pool = try await api.call(
                .post, "/v1/pools", #"{"name": "a", "members": [{"sender": "\#(api.sender)", "prefixes": ["62"]}], "limits": {"per_day": 5}}"#)
            let pools = try await api.call(.get, "/v1/pools")
            let usage = sender.json["usage"] as? [String: Any] ?? [:]
            let canceled = try await api.call(.post, "/v1/messages/\(message.id)/cancel")

            let answers: [(String, [String: Any])] = [
                ("Message", message.json), ("Event", events.data.first ?? [:]), ("Sender", sender.json), ("Sender", made.json),
                ("SenderState", sender.json["state"] as? [String: Any] ?? [:]), ("Pairing", pairing.json), ("Pairing", idle.json),
                ("Explanation", explanation.json), ("ConsideredSender", considered), ("Verdict", considered["verdict"] as? [String: Any] ?? [:]),
                ("BatchResult", batch.json), ("BatchItem", results.first ?? [:]), ("BatchItem", results.last ?? [:]), ("Message", found.json),
                ("Message", results.first?["message"] as? [String: Any] ?? [:]), ("Problem", results.last?["problem"] as? [String: Any] ?? [:]),
                ("Pool", pool.json), ("PoolMember", (pool.json["members"] as? [[String: Any]])?.first ?? [:]), ("PoolList", pools.json),
                ("Condition", sender.json["condition"] as? [String: Any] ?? [:]), ("Usage", usage), ("Message", canceled.json),
                ("Count", usage["per_day"] as? [String: Any] ?? [:]),
                ("Problem", problem.json), ("MessageList", list.json), ("Readiness", ready.json),
            ]
            for (schema, answer) in answers {
                let declared = try #require(contract.schemas[schema])
                #expect(Set(answer.keys).isSubset(of: declared.members), "\(schema): \(answer.keys.sorted())")
                #expect(Set(answer.keys).isSuperset(of: declared.required), "\(schema): \(answer.keys.sorted())")
                #expect(!declared.required.isEmpty)
            }
            #expect(problem.json["type"] as? String == "/docs/errors/invalid_request" && problem.json["status"] as? Int == 422)
        }
    }

    @Test func `times are written and read as RFC 3339`() throws {
        func time(_ seconds: TimeInterval) -> String { Timestamp.text(Date(timeIntervalSince1970: seconds)) }
        #expect(time(0) == "1970-01-01T00:00:00.000Z" && time(951_782_400) == "2000-02-29T00:00:00.000Z")
        #expect(time(-1) == "1969-12-31T23:59:59.000Z" && time(1_780_000_000.0014) == "2026-05-28T20:26:40.001Z")
        #expect(time(-.infinity) == "0000-01-01T00:00:00.000Z" && time(.infinity) == "9999-12-31T23:59:59.999Z")
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        for step in 0..<2_000 {
            let date = Date(timeIntervalSince1970: Double(step) * 4_000_003.25 - 2_000_000_000)
            #expect(Timestamp.text(date) == formatter.string(from: date))
            #expect(Timestamp.parse(Timestamp.text(date)) == date)
        }
        let noon = try #require(Timestamp.parse("2026-11-21T12:00:00Z"))
        #expect(Timestamp.parse("2026-11-21t19:00:00.000+07:00") == noon && Timestamp.parse("2026-11-21T09:30:00.5-02:30") == noon + 0.5)
        for text in [
            "", "2026-11-21", "2026-11-21T12:00:00", "2026-11-21 12:00:00Z", "2026-13-21T12:00:00Z", "2026-02-29T12:00:00Z", "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:60Z", "2026-11-21T12:00:00.Z", "2026-11-21T12:00:00+0700", "2026-11-21T12:00:00Zx", "2026-00-10T12:00:00Z",
        ] {
            #expect(Timestamp.parse(text) == nil, "\(text)")
        }
    }
}

/// Member names of the schemas of openapi.yaml, read by indentation: that file keeps to one style.
struct Contract {
    var schemas: [String: (members: Set<String>, required: Set<String>)] = [:]

    init() throws {
        var name = ""
        var isInside = false
        var isInProperties = false
        for line in try Repository.text("Sources/gateway/Docs/openapi.yaml").split(separator: "\n") {
            let indent = line.prefix { $0 == " " }.count
            let words = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            if indent == 2 { isInside = words[0] == "schemas" }
            guard isInside else { continue }
            if indent == 4 { name = words[0] }
            if indent == 6 {
                isInProperties = words[0] == "properties"
                if words[0] == "required", words.count == 2 {
                    let names = words[1].trimmingCharacters(in: ["[", "]"]).split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
                    schemas[name, default: ([], [])].required = Set(names)
                }
            }
            if indent == 8, isInProperties { schemas[name, default: ([], [])].members.insert(words[0]) }
        }
    }
}
