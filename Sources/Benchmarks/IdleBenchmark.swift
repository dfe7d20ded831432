import Proof
import Simulator

/// Resident memory and idle CPU of one gateway with 0, 100 and 1,000 paired senders that do nothing.
///
/// The gateway is started anew after the pairing, so its memory is that of senders logged in, not of their making. The simulator runs in this
/// process.
struct IdleBenchmark {
    private struct Sample: Sendable {
        var senders: Int
        var residentKiB: Double
        /// Percent of one core.
        var cpu: Double
        var startMilliseconds: Double
    }

    let bench: Workbench

    func run(into table: inout Table) async throws {
        let samples = try await bench.withSimulator { simulator in
            let gateway = try bench.makeGateway("idle", simulator: simulator)
            // Held open, so that starting the gateway does not include starting PostgreSQL.
            return try await bench.withCluster(gateway) { _ in
                let key = try await gateway.makeTestKey(account: "Benchmark")
                var samples = [try await sample(0, gateway, simulator)]
                var paired = 0
                for count in bench.plan.idleSenders {
                    bench.say("idling: pairing \(count - paired) senders")
                    _ = try await gateway.serve { _, _ in
                        try await simulator.waitForActiveSenders(paired)
                        return try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(count - paired)
                    }
                    paired = count
                    samples.append(try await sample(count, gateway, simulator))
                }
                return samples
            }
        }
        add(samples, to: &table)
    }

    private func sample(_ senders: Int, _ gateway: GatewayProcess, _ simulator: WhatsAppSimulator) async throws -> Sample {
        bench.say("idling: watching \(senders) senders")
        return try await gateway.serve { process, start in
            try await simulator.waitForActiveSenders(senders)
            try await settle(process)
            let clock = ContinuousClock()
            let from = clock.now
            let before = try ProcessFigures(process).cpuSeconds
            try await clock.sleep(for: .seconds(bench.plan.idleSeconds))
            let figures = try ProcessFigures(process)
            guard simulator.activeSenders == senders else { throw BenchmarkFailure("senders lost their connections while idle") }
            return Sample(
                senders: senders, residentKiB: Double(figures.residentKiB),
                cpu: (figures.cpuSeconds - before) * 100 / (from.duration(to: clock.now) / .seconds(1)), startMilliseconds: start / .milliseconds(1))
        }
    }

    /// Returns when resident memory and CPU have been still for five seconds, or after a minute.
    private func settle(_ process: Int32) async throws {
        var still = 0
        var last = try ProcessFigures(process)
        for _ in 0..<60 where still < 5 {
            try await ContinuousClock().sleep(for: .seconds(1))
            let now = try ProcessFigures(process)
            still = abs(now.residentKiB - last.residentKiB) * 200 < last.residentKiB && now.cpuSeconds - last.cpuSeconds < 0.25 ? still + 1 : 0
            last = now
        }
    }

    private func add(_ samples: [Sample], to table: inout Table) {
        for sample in samples {
            table.add("resident memory, \(sample.senders) idle senders", sample.residentKiB / 1_024, "MiB")
            guard sample.senders > 0 else {
                table.add("  start until ready, database migrated", sample.startMilliseconds, "ms", target: "start-up", .atMost(300))
                continue
            }
            let isLast = sample.senders == samples.last?.senders
            table.add(
                "  per idle sender", (sample.residentKiB - samples[0].residentKiB) / Double(sample.senders), "KiB",
                target: isLast ? "idle-memory" : nil,
                .atMost(300))
            table.add("  idle CPU", sample.cpu, "% of a core", target: isLast ? "idle-cpu" : nil, .atMost(10))
        }
    }
}
