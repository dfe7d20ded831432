import Foundation
import Logging

/// Where log lines go: standard error, as text for people or as one JSON object a line for machines.
/// What may be logged is decided where it is logged; this only writes.
struct LogOutput: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    private let label: String
    private let isJSON: Bool

    init(label: String, level: Logger.Level, isJSON: Bool) {
        self.label = label
        self.logLevel = level
        self.isJSON = isJSON
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let time = Date().formatted(.iso8601.year().month().day().timeZone(separator: .omitted).time(includingFractionalSeconds: true))
        let line: String
        if isJSON {
            let members =
                [("time", time), ("level", "\(event.level)"), ("room", label), ("event", "\(event.message)")] + fields.map { ($0.key, "\($0.value)") }
            line = "{" + members.map { "\(Self.quoted($0.0)):\(Self.quoted($0.1))" }.joined(separator: ",") + "}"
        } else {
            line = "\(time) \(event.level) \(Self.plain("\(event.message)"))" + fields.map { " \($0.key)=\(Self.plain("\($0.value)"))" }.joined()
        }
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }

    /// A JSON string (RFC 8259 §7) with control characters escaped.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: result += "\\u" + String(format: "%04x", scalar.value)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// Control characters cannot fake a second line.
    private static func plain(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
    }
}
