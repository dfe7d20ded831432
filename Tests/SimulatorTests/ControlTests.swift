import Foundation
import FoundationNetworking
import Simulator
import Testing

@Suite(.timeLimit(.minutes(10))) struct ControlTests {
    private func call(
        _ simulator: WhatsAppSimulator, _ method: String, _ path: String, _ body: String? = nil
    ) async throws -> (Int, String) {
        let (response, text) = try await exchange(simulator, method, path, body)
        return (response.statusCode, text)
    }

    private func exchange(
        _ simulator: WhatsAppSimulator, _ method: String, _ path: String, _ body: String? = nil, accept: String? = nil
    ) async throws -> (HTTPURLResponse, String) {
        var request = URLRequest(url: try #require(URL(string: simulator.controlURL + path)))
        request.httpMethod = method
        if let accept { request.setValue(accept, forHTTPHeaderField: "Accept") }
        request.httpBody = body.map { Data($0.utf8) }
        let (data, response) = try await URLSession.shared.data(for: request)
        return (try #require(response as? HTTPURLResponse), String(decoding: data, as: UTF8.self))
    }

    @Test func `the verbs answer over HTTP`() async throws {
        try await withSimulator { simulator in
            let client = try await simulator.logIn(number: "15550101111")
            let added = try await call(
                simulator, "POST", "/control/recipients", #"{"number":"+15550107777","devices":3,"behaviour":{"receipts":"read"}}"#)
            #expect(added.0 == 201)
            let (chat, devices) = try await simulator.target("15550107777", of: client)
            #expect(devices.filter { $0.user == chat.user }.count == 3)
            #expect(try await call(simulator, "POST", "/control/behaviour", #"{"sender":"+15550101111","drop_ack":1}"#).0 == 200)
            try await client.send(try client.message("over http", id: "H", to: chat, devices: devices))
            _ = try await client.next("receipt") { $0.string("id") == "H" && $0.string("type") == "read" }

            let received = try await call(simulator, "GET", "/control/received?id=H")
            #expect(received.0 == 200 && received.1.contains(#""text":"over http""#))
            #expect(try await call(simulator, "GET", "/control/counters").1.contains(#""lost_acks":1"#))
            #expect(try await call(simulator, "GET", "/control/phones").1.contains(#""is_connected":true"#))
            #expect(try await call(simulator, "POST", "/control/devices", #"{"number":"15550107777"}"#).0 == 201)

            let inbound = try await call(
                simulator, "POST", "/control/inbound", #"{"from":"+15550107777","to":"+15550101111","text":"hello you"}"#)
            #expect(inbound.0 == 201)
            _ = try await client.next("message") { inbound.1.contains($0.string("id") ?? "?") }
            #expect(try await call(simulator, "POST", "/control/unlink", #"{"sender":"15550101111"}"#).0 == 200)
            #expect(try await client.next("stream:error").child("conflict") != nil)
        }
    }

    @Test func `the root key is plain hex, and JSON for who asks for it`() async throws {
        try await withSimulator { simulator in
            let hex = simulator.rootKey.bytes.map { String(format: "%02x", $0) }.joined()
            for accept in [nil, "*/*", "text/html, */*;q=0.8"] {
                let (response, text) = try await exchange(simulator, "GET", "/control/root", accept: accept)
                #expect(response.statusCode == 200 && response.value(forHTTPHeaderField: "Content-Type") == "text/plain")
                #expect(text == hex + "\n")
            }
            for accept in ["application/json", "text/plain;q=0.5, Application/JSON"] {
                let (response, text) = try await exchange(simulator, "GET", "/control/root", accept: accept)
                #expect(response.statusCode == 200 && response.value(forHTTPHeaderField: "Content-Type") == "application/json")
                #expect(text == #"{"root":"\#(hex)"}"#)
            }
        }
    }

    @Test func `bad requests get their own answers`() async throws {
        try await withSimulator { simulator in
            let cases: [(String, String, String?, Int)] = [
                ("GET", "/nothing", nil, 404), ("POST", "/control/root", nil, 405), ("POST", "/control/scan", "{", 400),
                ("POST", "/control/scan", #"{"qr":"1,2,3,4,5"}"#, 422), ("POST", "/control/recipients", #"{"number":"+0"}"#, 422),
                ("POST", "/control/unlink", #"{"sender":"15550109999"}"#, 404),
            ]
            for (method, path, body, status) in cases {
                let answer = try await call(simulator, method, path, body)
                #expect(answer.0 == status, "\(method) \(path)")
            }
        }
    }
}
