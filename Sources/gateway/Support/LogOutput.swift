import Foundation
import Logging

/// Where log lines go: standard error, as text for people or as one JSON object a line for machines. Who logs never waits for it.
/// What may be logged is decided where it is logged; this only writes.
struct LogOutput: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    private let label: String
    private let isJSON: Bool
    private let sink: LogSink

    init(label: String, level: Logger.Level, isJSON: Bool, sink: LogSink = .standardError) {
        self.sink = sink
        self.label = label
        self.logLevel = level
        self.isJSON = isJSON
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let time = Date().formatted(.iso8601.year().month().day().timeZone(separator: .omitted).time(includingFractionalSeconds: true))
        let fields = metadata.merging(event.metadata ?? [:]) { $1 }.map { ($0.key, "\($0.value)") }.sorted { $0.0 < $1.0 }
        let dropped = sink.takeDropped()
        if dropped > 0 { sink.take(line(time, "\(Logger.Level.warning)", "log lines dropped", [("count", "\(dropped)")])) }
        sink.take(line(time, "\(event.level)", "\(event.message)", fields))
    }

    /// One line without its end: nothing in a message or a field can begin another.
    func line(_ time: String, _ level: String, _ message: String, _ fields: [(String, String)]) -> String {
        guard isJSON else { return "\(time) \(level) \(Self.plain(message))" + fields.map { " \(Self.plain($0))=\(Self.plain($1))" }.joined() }
        let members = [("time", time), ("level", level), ("room", label), ("event", message)] + fields
        return "{" + members.map { "\(Self.quoted($0)):\(Self.quoted($1))" }.joined(separator: ",") + "}"
    }

    /// C0, DEL and C1, and the two separators that some readers take for the end of a line.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029
    }

    /// A JSON string (RFC 8259 §7) with control characters escaped.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where isControl(scalar): result += "\\u" + String(format: "%04x", scalar.value)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func plain(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
    }
}
