@testable import Domain
import Foundation
import Primitives
import Proof
import TestSupport
import Testing

/// What receivers use: the package `standardwebhooks` of PyPI, in a virtual environment that Scripts/bootstrap makes. Where there is none these tests
/// are left out, and said to be.
@Suite(.enabled(if: Python.hasVerifier, "no .build/python with standardwebhooks: run Scripts/bootstrap"))
struct IndependentVerifierTests {
    @Test func `the reference library accepts what is sent, before, during and after a rotation, and refuses what was changed`() async throws {
        // Its clock is the real one.
        try await withHooks(start: Date()) { rig, book, receiver in
            let (endpoint, old) = try await rig.addEndpoint(receiver.url)
            let first = try #require(old)
            try await rig.publish()
            _ = await rig.dispatcher().runOnce()
            let second = try #require(try await rig.gateway.webhooks.rotate(endpoint, account: rig.account, overlap: 60, now: rig.test.now)?.secret)
            try await rig.publish()
            rig.test.clock.advance(by: 1)
            _ = await rig.dispatcher().runOnce()
            rig.test.clock.advance(by: 60)
            try await rig.publish()
            _ = await rig.dispatcher().runOnce()
            let requests = book.all
            #expect(requests.count == 3)
            var questions: [Python.Question] = []
            for request in requests { questions += [first, second].map { Python.Question(secret: $0, request) } }
            let flipped = Python.Question(secret: first, requests[0], body: requests[0].body.dropLast() + [0x20])
            let renamed = Python.Question(secret: first, requests[0], changing: "webhook-id", to: "evt_other")
            let later = Python.Question(
                secret: first, requests[0], changing: "webhook-timestamp", to: "\(Int(rig.test.now.timeIntervalSince1970) + 1)")

            let verdicts = try await Python.verify(questions + [flipped, renamed, later])
            #expect(verdicts == [true, false, true, true, false, true, false, false, false])
        }
    }

    @Test func `an independent Ed25519 accepts the asymmetric signature, with both keys during a rotation`() async throws {
        try await withHooks(start: Date()) { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url, signing: .ed25519)
            let before = try #require(try await rig.gateway.webhooks.get(endpoint, account: rig.account)?.publicKey)
            try await rig.publish()
            _ = await rig.dispatcher().runOnce()
            _ = try await rig.gateway.webhooks.rotate(endpoint, account: rig.account, now: rig.test.now)
            let after = try #require(try await rig.gateway.webhooks.get(endpoint, account: rig.account)?.publicKey)
            try await rig.publish()
            rig.test.clock.advance(by: 1)
            _ = await rig.dispatcher().runOnce()
            let requests = book.all
            #expect(requests.count == 2 && before != after)
            let questions = requests.flatMap { request in [before, after].map { Python.Question(secret: $0, request) } }
            let changed = Python.Question(secret: before, requests[0], body: requests[0].body + [0x20])

            #expect(try await Python.verify(questions + [changed]) == [true, false, true, true, false])
        }
    }
}

/// The virtual environment's interpreter.
enum Python {
    struct Question: Encodable {
        var secret: String
        var headers: [String: String]
        /// Base64.
        var body: String

        init(secret: String, _ request: HookRequest, body: [UInt8]? = nil, changing name: String? = nil, to value: String = "") {
            self.secret = secret
            headers = request.headers.filter { $0.key.hasPrefix("webhook-") }
            if let name { headers[name] = value }
            self.body = Data(body ?? request.body).base64EncodedString()
        }
    }

    private static let script = """
        import base64, json, sys
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from standardwebhooks.webhooks import Webhook, WebhookVerificationError

        def verify(secret, headers, body):
            if secret.startswith("whpk_"):
                key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret[5:]))
                signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
                for signature in headers["webhook-signature"].split(" "):
                    version, text = signature.split(",")
                    try:
                        if version == "v1a":
                            key.verify(base64.b64decode(text), signed)
                            return True
                    except InvalidSignature:
                        pass
                return False
            try:
                return Webhook(secret).verify(body, headers) == json.loads(body)
            except WebhookVerificationError:
                return False

        print(json.dumps([verify(q["secret"], q["headers"], base64.b64decode(q["body"])) for q in json.load(sys.stdin)]))
        """

    private static var interpreter: String {
        var root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        for _ in 0..<3 { root.deleteLastPathComponent() }
        return root.appendingPathComponent(".build/python/bin/python3").path
    }

    static let hasVerifier: Bool = {
        guard FileManager.default.isExecutableFile(atPath: interpreter) else { return false }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = ["-c", "import standardwebhooks, cryptography"]
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    static func verify(_ questions: [Question]) async throws -> [Bool] {
        let input = Pipe()
        let output = Pipe()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = ["-c", script]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        // Small enough for a pipe.
        try input.fileHandleForWriting.write(contentsOf: JSONEncoder().encode(questions))
        try input.fileHandleForWriting.close()
        let answer = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return try JSONDecoder().decode([Bool].self, from: answer)
    }
}
