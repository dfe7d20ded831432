import Foundation
import Glibc

/// What /proc says about a process (proc(5)).
struct ProcessFigures {
    /// Of the process and its children that have ended.
    var cpuSeconds: Double
    /// VmRSS.
    var residentKiB: Int
    private var parent: Int32

    /// Throws when there is no such process.
    init(_ process: Int32) throws {
        let stat = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        // The name in parentheses may hold anything; the numbered fields stand behind it, the third one first.
        guard let end = stat.lastIndex(of: ")") else { throw BenchmarkFailure("cannot read /proc/\(process)/stat") }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 14, let parent = Int32(fields[1]) else { throw BenchmarkFailure("cannot read /proc/\(process)/stat") }
        self.parent = parent
        cpuSeconds = fields[11...14].compactMap { Double($0) }.reduce(0, +) / Double(sysconf(Int32(_SC_CLK_TCK)))
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        residentKiB = line.flatMap { $0.split(separator: " ").dropLast().last }.flatMap { Int($0) } ?? 0
    }

    /// CPU seconds of a process and all its children, dead or alive: a PostgreSQL server with its backends.
    static func cpuSeconds(ofFamily process: Int32) throws -> Double {
        let children = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init).compactMap { try? ProcessFigures($0) }
        return try ProcessFigures(process).cpuSeconds + children.filter { $0.parent == process }.map(\.cpuSeconds).reduce(0, +)
    }
}
