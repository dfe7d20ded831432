import Foundation
import Testing

@Suite struct OneDoorTests {
    /// Rooms that are not the gateway: what measures, proves, and plays WhatsApp's side.
    private static let evidence: Set<String> = ["Benchmarks", "Conformance", "Proof", "Simulation", "Simulator", "prove"]
    /// The dialer opens WhatsApp's own socket, which is no HTTP besides its upgrade.
    private static let sockets: Set<String> = ["WhatsApp/Dialer.swift"]

    @Test func `nothing else in the gateway opens an HTTP connection`() throws {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Sources").resolvingSymlinksInPath()
        // Clients by name, and what one would be built from.
        let forbidden = [
            "URLSession", "FoundationNetworking", "AsyncHTTPClient", "import CCurl", "curl_easy", "curl_multi", "libcurl", "/bin/curl", "bin/wget",
            "ClientBootstrap",
            "NIOTSConnectionBootstrap", "SOCK_STREAM", "getaddrinfo(", "Data(contentsOf: URL(string", "String(contentsOf: URL(string",
        ]
        var read = 0
        var found: [String] = []
        let files = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        for case let file as URL in files where ["swift", "c", "h"].contains(file.pathExtension) {
            let path = file.path.replacingOccurrences(of: sources.path + "/", with: "")
            let room = String(path.prefix { $0 != "/" })
            guard !Self.evidence.contains(room), !["OutboundHTTP", "CCurl", "CCurlShim"].contains(room), !Self.sockets.contains(path) else {
                continue
            }
            read += 1
            let text = try String(contentsOf: file, encoding: .utf8)
            for word in forbidden where text.contains(word) { found.append("\(path): \(word)") }
        }

        #expect(found == [])
        #expect(read > 100)
    }
}
