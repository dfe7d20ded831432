import Foundation
import Primitives

/// The verbs over HTTP. The shapes are in `Sources/gateway/Docs/simulator.md`; field names are in snake case both ways.
struct ControlRoutes: Sendable {
    let engine: Engine

    /// - Parameter accept: the values of the request's Accept headers.
    func answer(method: String, uri: String, accept: [String], body: [UInt8]) -> ControlResponse {
        guard let components = URLComponents(string: uri) else { return .failure(400, "invalid_request") }
        do {
            return try answer(method, components.path, components.queryItems ?? [], accept, body)
        } catch let error as SimulatorError {
            return .failure(error.code == .unknownSender ? 404 : 422, error.code.rawValue)
        } catch is DecodingError {
            return .failure(400, "invalid_json")
        } catch {
            return .failure(500, "internal_error")
        }
    }

    private func answer(_ method: String, _ path: String, _ query: [URLQueryItem], _ accept: [String], _ body: [UInt8]) throws -> ControlResponse {
        switch (method, path) {
        case ("GET", "/control/root"): try root(accept)
        case ("GET", "/control/phones"): try .json(["phones": engine.withState { state in state.phones }])
        case ("GET", "/control/counters"): try .json(engine.withState { state in state.currentCounters })
        case ("GET", "/control/received"): try received(query)
        case ("POST", "/control/recipients"): try addRecipient(read(body))
        case ("POST", "/control/devices"): try addDevice(read(body))
        case ("POST", "/control/scan"): try scan(read(body))
        case ("POST", "/control/code"): try code(read(body))
        case ("POST", "/control/behaviour"): try behaviour(read(body))
        case ("POST", "/control/disconnect"): try disconnect(read(body))
        case ("POST", "/control/unlink"): try unlink(read(body))
        case ("POST", "/control/inbound"): try inbound(read(body))
        case (_, "/control/root"), (_, "/control/phones"), (_, "/control/counters"), (_, "/control/received"), (_, "/control/recipients"),
            (_, "/control/devices"), (_, "/control/scan"), (_, "/control/code"), (_, "/control/behaviour"), (_, "/control/disconnect"),
            (_, "/control/unlink"), (_, "/control/inbound"):
            .failure(405, "method_not_allowed")
        default: .failure(404, "not_found")
        }
    }

    private func read<Request: Decodable>(_ body: [UInt8]) throws -> Request {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Request.self, from: Data(body.isEmpty ? Array("{}".utf8) : body))
    }

    // MARK: Verbs

    /// The plain hex, for shells and foreign harnesses; an object only for who asks for JSON by name.
    private func root(_ accept: [String]) throws -> ControlResponse {
        let hex = Hex.encode(engine.identity.rootKey.bytes)
        guard accept.contains(where: { $0.lowercased().contains("application/json") }) else { return .text(hex + "\n") }
        return try .json(["root": hex])
    }

    private func received(_ query: [URLQueryItem]) throws -> ControlResponse {
        func value(_ name: String) -> String? { query.first { $0.name == name }?.value.map { $0.replacing(" ", with: "+") } }
        let after = value("after").flatMap { Int($0) } ?? 0
        let limit = min(max(value("limit").flatMap { Int($0) } ?? 1000, 1), 50_000)
        let (id, number, sender) = (value("id"), value("number"), value("sender"))
        let messages = engine.withState { state in
            state.history.received(id: id, number: number, sender: sender, after: after, limit: limit)
        }
        return try .json(["messages": messages])
    }

    private struct RecipientRequest: Decodable {
        var number: String
        var devices: Int?
        var behaviour: BehaviourRequest?
    }

    private func addRecipient(_ request: RecipientRequest) throws -> ControlResponse {
        let user = try engine.withState { state throws(SimulatorError) in
            let user = try state.addRecipient(request.number, devices: request.devices, behaviour: nil)
            if let behaviour = request.behaviour { try state.apply(behaviour, toRecipient: request.number) }
            return user
        }
        return try .json(user, status: 201)
    }

    private struct DeviceRequest: Decodable {
        var number: String
        var notify: Bool?
    }

    private func addDevice(_ request: DeviceRequest) throws -> ControlResponse {
        let jid = try engine.withState { state throws(SimulatorError) in try state.addDevice(request.number, notify: request.notify ?? false) }
        return try .json(["device": jid], status: 201)
    }

    private struct ScanRequest: Decodable {
        var qr: String
        var number: String?
    }

    private func scan(_ request: ScanRequest) throws -> ControlResponse {
        try .json(engine.withState { state throws(SimulatorError) in try state.scan(qr: request.qr, number: request.number) })
    }

    private struct CodeRequest: Decodable {
        var number: String
        var code: String
    }

    private func code(_ request: CodeRequest) throws -> ControlResponse {
        try engine.withState { state throws(SimulatorError) in try state.enterCode(request.code, number: request.number) }
        return try .json(["ok": true])
    }

    private func behaviour(_ request: BehaviourRequest) throws -> ControlResponse {
        try engine.withState { state throws(SimulatorError) in
            if let number = request.number {
                try state.apply(request, toRecipient: number)
            } else {
                try state.apply(request, toSender: request.sender)
            }
        }
        return try .json(["ok": true])
    }

    private struct SenderRequest: Decodable {
        var sender: String
        var code: Int?
    }

    private func disconnect(_ request: SenderRequest) throws -> ControlResponse {
        try engine.withState { state throws(SimulatorError) in try state.disconnect(sender: request.sender, code: request.code) }
        return try .json(["ok": true])
    }

    private func unlink(_ request: SenderRequest) throws -> ControlResponse {
        try engine.withState { state throws(SimulatorError) in try state.unlink(sender: request.sender) }
        return try .json(["ok": true])
    }

    private struct InboundRequest: Decodable {
        var from: String
        var to: String
        var text: String
    }

    private func inbound(_ request: InboundRequest) throws -> ControlResponse {
        let id = try engine.withState { state throws(SimulatorError) in
            try state.inbound(from: request.from, to: request.to, text: request.text)
        }
        return try .json(["id": id], status: 201)
    }
}

struct ControlResponse: Sendable {
    var status: Int
    var contentType = "application/json"
    var body: [UInt8]

    static func json(_ value: some Encodable, status: Int = 200) throws -> ControlResponse {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ControlResponse(status: status, body: [UInt8](try encoder.encode(value)))
    }

    static func text(_ text: String) -> ControlResponse { ControlResponse(status: 200, contentType: "text/plain", body: Array(text.utf8)) }

    static func failure(_ status: Int, _ code: String) -> ControlResponse {
        ControlResponse(status: status, body: Array(#"{"error":"\#(code)"}"#.utf8))
    }
}
