import Foundation

/// What a process holds at one moment.
struct ProcessFigures: Sendable {
    var at: ContinuousClock.Instant
    var residentKiB: Int
    var files: Int
    /// Processor time since its start, in seconds.
    var cpu: Double

    init?(of process: Int32) {
        at = ContinuousClock.now
        guard let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
            let kibibytes = line.split(separator: " ").dropFirst().compactMap({ Int($0) }).first,
            let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd"),
            let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let fields = stat.split(separator: ")").last?.split(separator: " "), fields.count > 13, let user = Double(fields[11]),
            let system = Double(fields[12])
        else { return nil }
        residentKiB = kibibytes
        files = open.count
        cpu = (user + system) / 100
    }

    /// Memory and open files over time, without the first third, in which caches fill.
    static func trend(_ all: [ProcessFigures]) -> String {
        let figures = all.dropFirst(all.count / 3)
        guard let first = figures.first, let last = figures.last, figures.count > 2 else { return "too short to tell" }
        let times = figures.map { ($0.at - first.at) / .seconds(3600) }
        let sizes = figures.map { Double($0.residentKiB) }
        let count = Double(figures.count)
        let (meanTime, meanSize) = (times.reduce(0, +) / count, sizes.reduce(0, +) / count)
        let slope =
            zip(times, sizes).reduce(0) { $0 + ($1.0 - meanTime) * ($1.1 - meanSize) } / times.reduce(0) { $0 + ($1 - meanTime) * ($1 - meanTime) }
        let percent = slope / meanSize * 100
        return "memory \(first.residentKiB / 1024) → \(last.residentKiB / 1024) MiB, slope \(tenths(percent)) % per hour; "
            + "open files \(first.files) → \(last.files)"
    }
}
