import ArgumentParser
import Foundation
import Logging

/// What every verb takes.
struct Options: ParsableArguments {
    @Option(
        name: .long,
        help: "The configuration; default: $GATEWAY_CONFIG, then ./gateway.toml, then /etc/gateway/gateway.toml, then the built-in defaults.")
    var config: String?

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    /// Reads the file and the environment. Throws `SettingsProblem`.
    func settings(_ adjust: ([String: String]) -> [String: String] = { $0 }) throws -> Settings {
        let environment = ProcessInfo.processInfo.environment
        let named = config ?? environment["GATEWAY_CONFIG"]
        let file = named ?? ["gateway.toml", "/etc/gateway/gateway.toml"].first { FileManager.default.fileExists(atPath: $0) }
        return try Settings(file: file, environment: adjust(environment))
    }

    /// Verbs other than `serve` only speak up when something is wrong.
    func logger(_ settings: Settings, quiet: Bool = true) -> Logger {
        let level = quiet ? .warning : Logger.Level(rawValue: settings.log.level) ?? .info
        var logger = Logger(label: "gateway") { label in LogOutput(label: label, level: level, isJSON: settings.log.isJSON) }
        logger.logLevel = level
        return logger
    }

    /// Prints `object` as JSON, or `text` for people.
    func print(_ object: some Encodable, _ text: String) throws {
        guard json else { return Swift.print(text) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        Swift.print(String(decoding: try encoder.encode(object), as: UTF8.self))
    }
}

extension Workplace {
    /// For a verb: opens what its configuration says, runs `body`, and closes again. Silent unless something is wrong.
    static func use<Value: Sendable>(
        _ options: Options, _ body: @Sendable @escaping (Workplace) async throws -> Value
    ) async throws -> Value {
        let settings = try options.settings()
        return try await use(settings, logger: options.logger(settings), body)
    }
}
