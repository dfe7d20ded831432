import Foundation
import Glibc
import OutboundHTTP
import Synchronization
import Testing

@Suite struct TLSTests {
    @Test func `a certificate is trusted by its own CA file only, for its name only, as long as it is valid`() async throws {
        let good = try await TestCertificate(name: "good.test")
        let stranger = try await TestCertificate(name: "good.test")
        let expired = try await TestCertificate(name: "good.test", isExpired: true)
        try await good.serve { port in
            try await withClient(certificateFile: good.certificate) { client async throws in
                #expect(try await client.get("https://good.test:\(port)/").status == 200)
                let failure = await client.failure("https://other.test:\(port)/")
                #expect(failure?.code == .tlsFailed)
                #expect(failure?.isTransient == false)
                #expect(failure?.mayHaveArrived == false)
                #expect(await client.failure("https://127.0.0.1:\(port)/")?.code == .tlsFailed)
            }
            try await withClient { client async throws in #expect(await client.failure("https://good.test:\(port)/")?.code == .tlsFailed) }
            try await withClient(certificateFile: stranger.certificate) { client async throws in
                #expect(await client.failure("https://good.test:\(port)/")?.code == .tlsFailed)
            }
        }
        try await expired.serve { port in
            try await withClient(certificateFile: expired.certificate) { client async throws in
                #expect(await client.failure("https://good.test:\(port)/")?.code == .tlsFailed)
            }
        }
    }

    @Test func `TLS 1_2 is the least that is spoken`() async throws {
        let certificate = try await TestCertificate(name: "good.test")
        for (option, isGood) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
            try await certificate.serve([option, "-cipher", "ALL:@SECLEVEL=0"]) { port in
                try await withClient(certificateFile: certificate.certificate) { client async throws in
                    if isGood {
                        #expect(try await client.get("https://good.test:\(port)/").status == 200)
                    } else {
                        #expect(await client.failure("https://good.test:\(port)/")?.code == .tlsFailed)
                    }
                }
            }
        }
    }

    @Test func `a peer that does not speak TLS is a TLS failure, one that is silent a timeout`() async throws {
        try await withServer({ $0.write("HTTP/1.1 200 OK\r\n\r\n") }) { server in
            try await withClient { client async throws in #expect(await client.failure("https://a.test:\(server.port)/")?.code == .tlsFailed) }
        }
        try await withServer({ $0.waitForClose() }) { server in
            try await withClient { client async throws in
                let failure = await client.failure("https://a.test:\(server.port)/") { $0.connectDeadline = .milliseconds(60) }
                #expect(failure?.code == .timeout)
                #expect(failure?.mayHaveArrived == false)
            }
        }
    }

    /// Needs Debian's nghttp2-server.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/nghttpd")))
    func `HTTP 2 is used where it is offered, with many requests on one connection`() async throws {
        let certificate = try await TestCertificate(name: "good.test")
        let port = try freePort()
        try FileManager.default.createDirectory(atPath: certificate.folder + "/www", withIntermediateDirectories: true)
        try Data("two".utf8).write(to: URL(filePath: certificate.folder + "/www/index.html"))
        let (server, _) = try await Program.start(
            "/usr/bin/stdbuf",
            [
                "-oL", "/usr/sbin/nghttpd", "-v", "-a", "127.0.0.1", "-d", certificate.folder + "/www", "\(port)", certificate.key,
                certificate.certificate,
            ],
            until: "listen")
        try await withClient(certificateFile: certificate.certificate) { client async throws in
            let first = try await client.get("https://good.test:\(port)/")
            #expect(first.version == .http2)
            #expect(first.status == 200)
            #expect(first.body == "two".text)
            let all = try await withThrowingTaskGroup(of: OutboundResponse.self) { group in
                for _ in 1...50 { group.addTask { try await client.get("https://good.test:\(port)/") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(all.allSatisfy { $0.version == .http2 && !$0.openedConnection && $0.body == "two".text })
        }
        await server.stop()
    }
}
