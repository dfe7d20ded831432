import Foundation
import OutboundHTTP
import Testing

@Suite struct LoadTests {
    @Test func `ten thousand requests leave nothing behind`() async throws {
        // In a process of its own, so that its memory is its own.
        await #expect(processExitsWith: .success) {
            try await withServer({ $0.answerAll(String(repeating: "x", count: 1_000)) }) { server in
                try await withClient(change: { $0.runningPerHost = 64 }) { client async throws in
                    let url = "http://a.test:\(server.port)/"
                    #expect(await LoadTests.post(1_920, to: url, client) == 1_920)
                    let before = LoadTests.residentBytes()
                    #expect(await LoadTests.post(9_984, to: url, client) == 9_984)

                    // One body of each request alone would be 5 MB, and of each response 10 MB.
                    #expect(LoadTests.residentBytes() - before < 5 << 20)
                    #expect(client.load.waiting == 0)
                }
                #expect(server.accepted <= 64)
            }
        }
    }

    /// From 64 tasks; how many were answered.
    private static func post(_ count: Int, to url: String, _ client: HTTPClient) async -> Int {
        await withTaskGroup(of: Int.self) { group in
            for _ in 0..<64 {
                group.addTask {
                    var good = 0
                    for _ in 0..<count / 64 {
                        guard let request = try? OutboundRequest(.post, url, body: [UInt8](repeating: 0x61, count: 500)) else { break }
                        if (try? await client.send(request).body.count) == 1_000 { good += 1 }
                    }
                    return good
                }
            }
            return await group.reduce(0, +)
        }
    }

    private static func residentBytes() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4_096
    }
}
