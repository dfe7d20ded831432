import Foundation
import OutboundHTTP
import Synchronization
import Testing

let loopback: [IPNetwork] = ["127.0.0.0/8", "::1"].compactMap { IPNetwork($0) }

/// Answers from a list, one after the other, the last one for ever; every name that has no list is 127.0.0.1.
final class ScriptedResolver: HostResolver {
    private let answers: Mutex<[String: [[String]]]>
    private let asked = Mutex(0)

    init(_ answers: [String: [[String]]] = [:]) { self.answers = Mutex(answers) }

    var lookups: Int { asked.withLock { $0 } }

    func addresses(of host: String, until deadline: ContinuousClock.Instant) async throws(OutboundFailure) -> [IPAddress] {
        asked.withLock { $0 += 1 }
        let answer = answers.withLock { answers in
            guard var list = answers[host], let first = list.first else { return ["127.0.0.1"] }
            if list.count > 1 { list.removeFirst() }
            answers[host] = list
            return first
        }
        return answer.compactMap { IPAddress($0) }
    }
}

/// A client that may go to loopback over http, closed at the end. It is patient: only a test that is about a deadline sets one,
/// for a machine that is busy elsewhere may take longer than any.
func withClient<Result>(
    resolver: any HostResolver = ScriptedResolver(), policy: EgressPolicy = .allowing(networks: loopback, schemes: [.http, .https]),
    proxy: OutboundProxy? = nil, certificateFile: String? = nil, change: (inout HTTPClient.Configuration) -> Void = { _ in },
    _ body: (HTTPClient) async throws -> Result
) async throws -> Result {
    var configuration = HTTPClient.Configuration(
        policy: policy, resolver: resolver, proxy: proxy, userAgent: "toy/1", certificateFile: certificateFile)
    configuration.deadline = .seconds(600)
    configuration.connectDeadline = .seconds(600)
    configuration.connectionRest = .seconds(600)
    change(&configuration)
    let client = try HTTPClient(configuration)
    do {
        let result = try await body(client)
        await client.close(within: .zero)
        return result
    } catch {
        await client.close(within: .zero)
        throw error
    }
}

extension HTTPClient {
    func get(_ url: String, _ change: (inout OutboundRequest) -> Void = { _ in }) async throws(OutboundFailure) -> OutboundResponse {
        var request = try OutboundRequest(.get, url)
        change(&request)
        return try await send(request)
    }

    /// The failure of a GET; records an issue if there is none.
    func failure(_ url: String, _ change: (inout OutboundRequest) -> Void = { _ in }) async -> OutboundFailure? {
        do throws(OutboundFailure) {
            let response = try await get(url, change)
            Issue.record("expected a failure, got \(response)")
            return nil
        } catch { return error }
    }
}

/// Lets a server's thread tell the test that something happened.
struct Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func send() { continuation.yield() }

    func wait(_ count: Int = 1) async {
        var left = count
        for await _ in stream {
            left -= 1
            if left == 0 { return }
        }
    }
}

extension String {
    var text: [UInt8] { Array(utf8) }
}
