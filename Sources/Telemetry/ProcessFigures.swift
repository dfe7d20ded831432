import Foundation
import Glibc

/// What the kernel knows about this process, under the names that every Prometheus client uses for it. Linux only: read from /proc.
package enum ProcessFigures {
    package static let definitions: [MetricDefinition] = [
        MetricDefinition("process_resident_memory_bytes", .gauge, "Resident memory in bytes."),
        MetricDefinition("process_virtual_memory_bytes", .gauge, "Virtual memory in bytes."),
        MetricDefinition("process_open_fds", .gauge, "Open file descriptors."),
        MetricDefinition("process_max_fds", .gauge, "Most file descriptors that may be open."),
        MetricDefinition("process_threads", .gauge, "Threads."),
        MetricDefinition("process_cpu_seconds_total", .counter, "User and system CPU time in seconds."),
        MetricDefinition("process_start_time_seconds", .gauge, "Start of the process in seconds since 1970."),
    ]

    /// Reads a few small files. What cannot be read is left out.
    package static func read() -> [Sample] {
        var samples: [Sample] = []
        // proc(5): after the command in parentheses, which may hold anything, field 3 and so on.
        let stat = text("/proc/self/stat").split(separator: ")").last?.split(separator: " ").map { Double($0) ?? 0 } ?? []
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        if stat.count > 21, ticks > 0 {
            samples.append(Sample("process_cpu_seconds_total", (stat[11] + stat[12]) / ticks))
            samples.append(Sample("process_threads", stat[17]))
            samples.append(Sample("process_virtual_memory_bytes", stat[20]))
            samples.append(Sample("process_resident_memory_bytes", stat[21] * Double(sysconf(Int32(_SC_PAGESIZE)))))
            if let boot = bootTime() { samples.append(Sample("process_start_time_seconds", boot + stat[19] / ticks)) }
        }
        if let open = openFiles() { samples.append(Sample("process_open_fds", Double(open))) }
        if let most = fileLimit() { samples.append(Sample("process_max_fds", Double(most))) }
        return samples
    }

    /// Most file descriptors that this process may have open.
    package static func fileLimit() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Int(clamping: limit.rlim_cur)
    }

    private static func bootTime() -> Double? {
        text("/proc/stat").split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
    }

    private static func openFiles() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Itself, and the two dots.
        return max(0, count - 3)
    }

    private static func text(_ path: String) -> String {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

extension Sample {
    fileprivate init(_ name: String, _ value: Double) { self.init(name, [], value) }
}
