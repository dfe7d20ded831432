import Foundation
import Postgres

/// What the search must find, or it proves nothing: a text and a number in plain sight, put where leaks would be.
struct PlantedControl {
    static let file = "planted-control.bin"

    let needles: [Needle]
    private let text: String
    private let number: String
    /// The table's file below the data directory, once planted.
    private var heap = ""

    init() {
        text = PrivacyTraffic.core()
        number = "628" + (0..<11).map { _ in String(Int.random(in: 0...9)) }.joined()
        needles = [Needle(.control, "planted text", text: text), Needle(.control, "planted number", digits: number)]
    }

    /// A file with both in every encoding, a row of a throw-away table (heap and WAL), and a line of PostgreSQL's log.
    mutating func plant(in directory: String, _ database: Database) async throws {
        var bytes: [UInt8] = []
        for pattern in needles.flatMap({ needle in NeedleEncoding.allCases.flatMap { $0.patterns(of: needle) } }) { bytes += pattern + [10] }
        try Data(bytes).write(to: URL(fileURLWithPath: "\(directory)/\(Self.file)"))
        try await database.executeOutsideTransaction("prove.table", "CREATE TABLE prove_control (text text, bytes bytea, number bigint)")
        try await database.execute(
            "prove.plant",
            "INSERT INTO prove_control (text, bytes, number) VALUES (\(text), \(Array(text.utf8)), \(Int64(number) ?? 0))")
        try await database.executeOutsideTransaction("prove.log", "DO $$ BEGIN RAISE WARNING 'planted control \(text)'; END $$")
        let path = try await database.queryOne("prove.path", "SELECT pg_relation_filepath('prove_control') AS path") { row in
            try row.column("path", as: String.self)
        }
        heap = "postgres/" + (path ?? "")
    }

    /// Every place where it was planted, and whether the search found it there.
    func findings(_ report: NeedleSearch.Report) -> [(place: String, found: Bool)] {
        let hits = report.hits.keys.filter { $0.needle < needles.count }
        let encodings = Set(hits.filter { $0.file == Self.file }.map(\.encoding))
        return [
            ("file, all \(NeedleEncoding.allCases.count) encodings", encodings.count == NeedleEncoding.allCases.count),
            ("heap", hits.contains { $0.file == heap && $0.encoding == .plain } && hits.contains { $0.file == heap && $0.encoding == .packedDigits }),
            ("WAL", hits.contains { $0.file.hasPrefix("postgres/pg_wal/") }),
            ("PostgreSQL's log", hits.contains { $0.file.hasPrefix("postgres/log/") }),
        ]
    }

    /// Whether a hit of a control stands where it was planted.
    func isPlanted(_ hit: NeedleSearch.Hit) -> Bool {
        hit.needle < needles.count
            && (hit.file == Self.file || hit.file == heap || hit.file.hasPrefix("postgres/pg_wal/") || hit.file.hasPrefix("postgres/log/"))
    }
}
