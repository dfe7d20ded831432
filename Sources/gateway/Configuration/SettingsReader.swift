import Alerting
import Domain
import Foundation
import OutboundHTTP
import TOMLKit

/// Takes settings out of a TOML file and its environment overrides, one key at a time, and remembers which keys were asked for,
/// so that any other key is refused as a typing mistake.
struct SettingsReader {
    private enum Value {
        case string(String)
        case integer(Int)
        case bool(Bool)
        case other
    }

    private let fileName: String
    private let lines: [Substring]
    private let environment: [String: String]
    private var values: [String: Value] = [:]
    private var known: Set<String> = []

    init(file: String?, environment: [String: String]) throws {
        fileName = file ?? "built-in defaults"
        self.environment = environment
        guard let file else {
            lines = []
            return
        }
        guard let data = FileManager.default.contents(atPath: file), let text = String(data: data, encoding: .utf8) else {
            throw SettingsProblem(source: file, line: nil, key: "", reason: "cannot be read as UTF-8 text")
        }
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        do {
            let table = try TOMLTable(string: text)
            take(table, under: "")
        } catch let error as TOMLParseError {
            throw SettingsProblem(source: file, line: error.source.begin.line, key: "", reason: error.description)
        }
    }

    /// A section in a section has a dot in its name, such as `alerts.telegram`.
    private mutating func take(_ table: TOMLTable, under path: String) {
        for key in table.keys {
            guard let value = table[key] else { continue }
            if let section = value.table { take(section, under: "\(path)\(key).") } else { values[path + key] = Self.value(value) }
        }
    }

    private static func value(_ value: any TOMLValueConvertible) -> Value {
        if value.type == .string, let text = value.string { return .string(text) }
        if value.type == .int, let number = value.int { return .integer(number) }
        if value.type == .bool, let flag = value.bool { return .bool(flag) }
        return .other
    }

    // MARK: Kinds of values

    mutating func string(_ key: String, default fallback: String, nonEmpty: Bool = false) throws -> String {
        var result = fallback
        if let override = override(key) {
            result = override
        } else if let value = take(key) {
            guard case .string(let text) = value else { throw problem(key, "must be a string in quotes") }
            result = text
        }
        guard !(nonEmpty && result.isEmpty) else { throw problem(key, "must not be empty") }
        return result
    }

    mutating func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>) throws -> Int {
        var result = fallback
        if let override = override(key) {
            guard let number = Int(override) else { throw problem(key, "must be a whole number") }
            result = number
        } else if let value = take(key) {
            guard case .integer(let number) = value else { throw problem(key, "must be a whole number without quotes") }
            result = number
        }
        guard range.contains(result) else { throw problem(key, "must be between \(range.lowerBound) and \(range.upperBound)") }
        return result
    }

    mutating func bool(_ key: String, default fallback: Bool) throws -> Bool {
        if let override = override(key) {
            guard let flag = Bool(override) else { throw problem(key, "must be true or false") }
            return flag
        }
        guard let value = take(key) else { return fallback }
        guard case .bool(let flag) = value else { throw problem(key, "must be true or false, without quotes") }
        return flag
    }

    mutating func choice(_ key: String, default fallback: String, of allowed: [String]) throws -> String {
        let text = try string(key, default: fallback)
        guard allowed.contains(text) else { throw problem(key, "must be one of \(allowed.joined(separator: ", "))") }
        return text
    }

    mutating func address(_ key: String, default fallback: String) throws -> (host: String, port: Int, isLoopback: Bool) {
        let text = try string(key, default: fallback)
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port) else {
            throw problem(key, "must be HOST:PORT")
        }
        let host = String(text[..<colon]).trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        guard !host.isEmpty else { throw problem(key, "must be HOST:PORT") }
        return (host, port, Self.isLoopback(host))
    }

    /// `127.x.x.x` in full, so that no name that merely begins like it passes.
    private static func isLoopback(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return host == "localhost" || host == "::1" || (parts.count == 4 && parts[0] == 127 && !parts.contains(nil))
    }

    mutating func postgresURL(_ key: String, fallback: String = "") throws -> String {
        let text = try string(key, default: fallback)
        guard text.isEmpty || text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") || text.contains("=") else {
            throw problem(key, "must be a postgres:// URL")
        }
        return text
    }

    mutating func webSocketURL(_ key: String, default fallback: String) throws -> String {
        let text = try string(key, default: fallback)
        guard text.isEmpty || ((text.hasPrefix("wss://") || text.hasPrefix("ws://")) && URL(string: text)?.host != nil) else {
            throw problem(key, "must be a wss:// or ws:// URL")
        }
        return text
    }

    /// The address of somebody's API: https, or a place on this machine.
    mutating func alertEndpoint(_ key: String, default fallback: String) throws -> AlertEndpoint {
        let text = try string(key, default: fallback, nonEmpty: true)
        do { return try AlertEndpoint(text) } catch {
            throw problem(key, "must be an https:// URL, or an http:// URL of this machine: \(error.detail)")
        }
    }

    /// What a file holds that nobody else may read; nil: the key names none.
    mutating func secretFile(_ key: String) throws -> String? {
        let path = try string(key, default: "")
        guard !path.isEmpty else { return nil }
        do { return try SecretFile.read(path) } catch { throw problem(key, "\(error.reason)") }
    }

    mutating func accountID(_ key: String) throws -> Account.ID? {
        let text = try string(key, default: "")
        guard !text.isEmpty else { return nil }
        do { return try Account.ID(text: text) } catch { throw problem(key, "must be an account's id (acc_…), or empty") }
    }

    mutating func networks(_ key: String) throws -> [IPNetwork] {
        let texts = try string(key, default: "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        let networks = texts.compactMap { IPNetwork($0) }
        guard networks.count == texts.count else { throw problem(key, "must be networks such as 10.0.0.0/8, with commas between them") }
        return networks
    }

    mutating func hexKey(_ key: String) throws -> String {
        let text = try string(key, default: "")
        guard text.isEmpty || (text.count == 64 && text.allSatisfy(\.isHexDigit)) else { throw problem(key, "must be 64 hexadecimal digits") }
        return text
    }

    mutating func version(_ key: String, default fallback: String) throws -> String {
        let text = try string(key, default: fallback)
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt32($0) }
        guard parts.count == 3, !parts.contains(nil) else { throw problem(key, "must be three numbers, such as 2.3000.1045649367") }
        return text
    }

    // MARK: Problems

    /// Refuses keys that nobody asked for.
    func refuseUnknownKeys() throws {
        let unknown = values.keys.filter { !known.contains($0) }.sorted { (line($0) ?? .max, $0) < (line($1) ?? .max, $1) }
        if let key = unknown.first {
            let section = key.split(separator: ".").dropLast().joined(separator: ".")
            let siblings = known.filter { $0.split(separator: ".").dropLast().joined(separator: ".") == section }.sorted()
            let allowed = siblings.isEmpty ? "there is no section [\(section)]" : "known keys: \(siblings.joined(separator: ", "))"
            throw problem(key, "is unknown; \(allowed)")
        }
        let names = Set(known.map(Self.variable)).union(Self.others)
        if let stray = environment.keys.filter({ $0.hasPrefix("GATEWAY_") && !names.contains($0) }).min() {
            throw SettingsProblem(source: "environment", line: nil, key: stray, reason: "overrides no key of gateway.toml")
        }
    }

    /// Variables that override nothing: the file itself, and what clients in the same shell call their key and the gateway's address.
    private static let others: Set<String> = ["GATEWAY_CONFIG", "GATEWAY_KEY", "GATEWAY_URL"]

    func problem(_ key: String, _ reason: String) -> SettingsProblem {
        if environment[Self.variable(key)] != nil {
            return SettingsProblem(source: "environment", line: nil, key: Self.variable(key), reason: reason)
        }
        return SettingsProblem(source: fileName, line: line(key), key: key, reason: reason)
    }

    private mutating func take(_ key: String) -> Value? {
        known.insert(key)
        return values[key]
    }

    private mutating func override(_ key: String) -> String? {
        known.insert(key)
        return environment[Self.variable(key)]
    }

    private static func variable(_ key: String) -> String { "GATEWAY_" + key.uppercased().replacingOccurrences(of: ".", with: "_") }

    /// The line of a key, found by a scan: TOML tables do not remember where their keys stood.
    private func line(_ key: String) -> Int? {
        let parts = key.split(separator: ".")
        let wantedSection = parts.dropLast().joined(separator: ".")
        let wantedKey = parts.last.map(String.init) ?? key
        var section = ""
        for (index, line) in lines.enumerated() {
            let text = line.trimmingCharacters(in: .whitespaces)
            if text.hasPrefix("[") {
                section = text.trimmingCharacters(in: CharacterSet(charactersIn: "[] \t")).split(separator: "]").first.map(String.init) ?? ""
                continue
            }
            let name = text.split(separator: "=", maxSplits: 1).first?.trimmingCharacters(in: CharacterSet(charactersIn: " \t\"")) ?? ""
            if section == wantedSection && name == wantedKey { return index + 1 }
        }
        return nil
    }
}
