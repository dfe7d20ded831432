import Foundation

/// Looks for many byte sequences at once in files of any size, in one pass (Wu and Manber 1994: a table of three-byte blocks says how far
/// the window may jump).
struct NeedleSearch: Sendable {
    /// What was found where.
    struct Hit: Hashable, Sendable {
        /// Relative to the searched folder.
        var file: String
        var needle: Int
        var encoding: NeedleEncoding
    }

    struct Report: Sendable {
        var files = 0
        var bytes = 0
        var hits: [Hit: Int] = [:]

        mutating func add(_ other: Report) {
            files += other.files
            bytes += other.bytes
            hits.merge(other.hits) { $0 + $1 }
        }
    }

    struct Unreadable: Error, CustomStringConvertible {
        var description: String
    }

    let needles: [Needle]
    /// One sequence may be several forms of a needle: most base64 is base64url too.
    private var patterns: [(bytes: [UInt8], origins: [(needle: Int, encoding: NeedleEncoding)])] = []
    /// By the last block of the window.
    private var candidates: [Int: [Int]] = [:]
    private var shifts = [UInt8](repeating: 0, count: 1 << 24)
    /// Length of the shortest pattern.
    private let window: Int
    private let longest: Int

    private static let block = 3
    private static let chunk = 1 << 22

    init(_ needles: [Needle]) {
        self.needles = needles
        var known: [[UInt8]: Int] = [:]
        for (index, needle) in needles.enumerated() {
            for encoding in NeedleEncoding.allCases {
                for pattern in Set(encoding.patterns(of: needle)) {
                    if let id = known[pattern] {
                        patterns[id].origins.append((index, encoding))
                    } else {
                        known[pattern] = patterns.count
                        patterns.append((pattern, [(index, encoding)]))
                    }
                }
            }
        }
        window = min(patterns.map(\.bytes.count).min() ?? 16, 64)
        longest = patterns.map(\.bytes.count).max() ?? 16
        precondition(window >= 6, "shorter needles would be found by chance")
        shifts = [UInt8](repeating: UInt8(window - Self.block + 1), count: 1 << 24)
        for (id, pattern) in patterns.enumerated() {
            for end in Self.block...window {
                let block = Int(pattern.bytes[end - 3]) | Int(pattern.bytes[end - 2]) << 8 | Int(pattern.bytes[end - 1]) << 16
                shifts[block] = min(shifts[block], UInt8(window - end))
                if end == window { candidates[block, default: []].append(id) }
            }
        }
    }

    var patternCount: Int { patterns.count }

    /// Searches every ordinary file below `folder`, on all cores. Throws `Unreadable` for a file that cannot be read: what was not
    /// searched proves nothing.
    func search(_ folder: String) async throws -> Report {
        let files = try Self.files(below: folder)
        let lanes = max(1, ProcessInfo.processInfo.activeProcessorCount)
        return try await withThrowingTaskGroup(of: Report.self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var report = Report()
                    for index in stride(from: lane, to: files.count, by: lanes) { try report.add(search(file: files[index], in: folder)) }
                    return report
                }
            }
            return try await group.reduce(into: Report()) { $0.add($1) }
        }
    }

    private static func files(below folder: String) throws -> [String] {
        guard let enumerator = FileManager.default.enumerator(atPath: folder) else { throw Unreadable(description: "cannot list \(folder)") }
        var files: [String] = []
        for case let path as String in enumerator {
            var info = stat()
            guard lstat("\(folder)/\(path)", &info) == 0 else { continue }  // gone since it was listed
            if info.st_mode & S_IFMT == S_IFREG { files.append(path) }
        }
        return files.sorted()
    }

    private func search(file: String, in folder: String) throws -> Report {
        let descriptor = open("\(folder)/\(file)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return Report() }
            throw Unreadable(description: "cannot open \(file): error \(errno)")
        }
        defer { close(descriptor) }
        var report = Report(files: 1)
        // Each chunk is searched together with the end of the one before; one spare byte lets a block be loaded as four.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: longest + Self.chunk + 1, alignment: 8)
        defer { buffer.deallocate() }
        guard let base = buffer.baseAddress else { return report }
        var kept = 0
        while true {
            let count = read(descriptor, base + kept, Self.chunk)
            guard count >= 0 else { throw Unreadable(description: "cannot read \(file): error \(errno)") }
            guard count > 0 else { return report }
            report.bytes += count
            find(in: base, count: kept + count, after: kept) { id in
                for origin in patterns[id].origins { report.hits[Hit(file: file, needle: origin.needle, encoding: origin.encoding), default: 0] += 1 }
            }
            let keep = min(longest - 1, kept + count)
            memmove(base, base + (kept + count - keep), keep)
            kept = keep
        }
    }

    /// Reports every pattern that ends beyond the first `known` bytes; those that end within them were found with the chunk before.
    private func find(in base: UnsafeMutableRawPointer, count: Int, after known: Int, _ found: (Int) -> Void) {
        shifts.withUnsafeBufferPointer { shifts in
            var end = window
            while end <= count {
                let block = Int(base.loadUnaligned(fromByteOffset: end - 3, as: UInt32.self) & 0xFF_FFFF)
                let shift = Int(shifts[block])
                guard shift == 0 else {
                    end += shift
                    continue
                }
                for id in candidates[block] ?? [] {
                    let pattern = patterns[id].bytes
                    let start = end - window
                    if start + pattern.count <= count, start + pattern.count > known, memcmp(base + start, pattern, pattern.count) == 0 { found(id) }
                }
                end += 1
            }
        }
    }
}
