import Foundation
import Glibc
import Proof

extension ProcessFault {
    /// Too little of something.
    static let starvations: [ProcessFault] = [
        ProcessFault(
            name: "F54", injected: "prlimit: four more file descriptors than are open, then 60 connections",
            expected: "existing work goes on, no busy loop, all well afterwards"
        ) {
            try await inWorld { world in
                guard let process = world.nodes[0].processID, let before = ProcessFigures(of: process) else { throw ProofFailure("no process") }
                let usual = try softLimit("Max open files", of: process)
                try await limit("nofile", of: process, to: "\(before.files + 4)")
                let sockets = (0..<60).map { _ in LoopbackPort.connect(to: world.nodes[0].port) }
                defer { for socket in sockets where socket >= 0 { close(socket) } }
                try await world.traffic(24)
                guard let start = ProcessFigures(of: process) else { throw ProofFailure("the process is gone") }
                try await ContinuousClock().sleep(for: .seconds(4))
                guard let end = ProcessFigures(of: process) else { throw ProofFailure("the process is gone") }
                let busy = (end.cpu - start.cpu) / 4
                for socket in sockets where socket >= 0 { shutdown(socket, Int32(SHUT_RDWR)) }
                try await limit("nofile", of: process, to: usual)
                try await ContinuousClock().sleep(for: .seconds(2))
                let answer = try? await HTTP.request("GET", world.nodes[0].baseURL + "/readyz", timeout: 5)
                return Seen(
                    isOK: busy < 0.8 && answer?.status == 200 && world.nodes[0].processID == process,
                    what: "\(Int(busy * 100)) % of a core meanwhile, /readyz afterwards \(answer?.status ?? 0)")
            }
        },
        ProcessFault(name: "F55", injected: "cpu cgroup: 10 % of a core for 12 s, under load", expected: "leases renewed or fenced, no split") {
            try await inWorld(senders: 6) { world in
                guard let process = world.nodes[0].processID else { throw ProofFailure("no process") }
                let before = try await world.leases()
                let group = ControlGroup("cpu", process: process, limits: [("cpu.cfs_period_us", 100_000), ("cpu.cfs_quota_us", 10_000)])
                defer { group?.end() }
                guard group != nil else { return Seen(isOK: false, what: "this machine lets nobody make a cpu cgroup") }
                try await world.underLoad(perSecond: 10) { try await ContinuousClock().sleep(for: .seconds(12)) }
                let after = try await world.leases()
                let moved = before.count { after[$0.key]?.epoch != $0.value.epoch }
                group?.end()
                let stale = try await Audit.violations(in: world.database.admin, isFinal: false).filter { $0.contains("epoch") }.count
                return Seen(
                    isOK: stale == 0,
                    what: "\(moved) of \(before.count) leases changed hands, stale writes \(stale)")
            }
        },
        ProcessFault(
            name: "F59", injected: "5,000 queued messages of one account, 40 of another (the full 100,000 stand in Scripts/bench)",
            expected: "the other's p95 at most 1.2 times (the bench's measure), or in this debug build 120 ms more"
        ) {
            try await inWorld(nodes: 1, senders: 1) { world in
                let quiet = try await world.otherAccount()
                let alone = try await quiet.p95(of: 40)
                try await Caller(world).postBatches(5)
                let crowded = try await quiet.p95(of: 40)
                let ratio = crowded / max(alone, .milliseconds(1))
                return Seen(
                    isOK: ratio <= 1.2 || crowded - alone < .milliseconds(120),
                    what: "p95 from post to delivered \(Int(alone / .milliseconds(1))) ms alone, \(Int(crowded / .milliseconds(1))) ms beside it: "
                        + "\(tenths(ratio)) times")
            }
        },
        ProcessFault(name: "F61", injected: "standard output on a full device", expected: "the message path goes on") {
            try await inWorld(nodes: 1, senders: 2) { world in
                await world.nodes[0].stop()
                try await world.nodes[0].start(output: "/dev/full")
                try await world.traffic(24)
                return Seen(isOK: world.nodes[0].processID != nil, what: "alive")
            }
        },
    ]

    /// As it stands in /proc/PID/limits.
    private static func softLimit(_ name: String, of process: Int32) throws -> String {
        let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
        guard let line = limits.split(separator: "\n").first(where: { $0.hasPrefix(name) }),
            let value = line.dropFirst(name.count).split(separator: " ").first
        else { throw ProofFailure("\(name): no such limit") }
        return String(value)
    }
}

extension World {
    /// A client of another account of this world, with one paired sender.
    func otherAccount() async throws -> Caller {
        guard let account = try await nodes[0].verb(["account", "create", "Quiet"])["id"] as? String else { throw ProofFailure("no account") }
        let key = try await Self.makeKey(nodes[0], account, test: true)
        _ = try await pair(key: key)
        return Caller(self, key: key)
    }
}

extension Caller {
    /// Posts so many messages one after the other, each when the one before is delivered; how long the slowest but 5 % took.
    func p95(of count: Int) async throws -> Duration {
        var times: [Duration] = []
        for _ in 0..<count {
            let number = world.anyRecipient()
            let start = ContinuousClock.now
            let nonce = try await post(number)
            while !world.simulator.received(number: number, limit: 400_000).contains(where: { $0.text == nonce && $0.shown > 0 }) {
                guard ContinuousClock.now - start < .seconds(60) else { throw ProofFailure("a message took more than a minute") }
                try await ContinuousClock().sleep(for: .milliseconds(5))
            }
            times.append(ContinuousClock.now - start)
        }
        return times.sorted()[count * 95 / 100]
    }

    /// Batches of a thousand, which nobody waits for: they are low in priority and end with the world.
    func postBatches(_ count: Int) async throws {
        var caller = self
        caller.patience = 30
        for batch in 0..<count {
            let items = (0..<1_000).map { #"{"to":"+\#(world.anyRecipient())","type":"text","text":{"body":"bulk-\#(batch)-\#($0)"}}"# }
            let answer = try await caller.call("POST", "/v1/messages/batch", json: #"{"messages":[\#(items.joined(separator: ","))]}"#)
            guard answer.isGood else { throw ProofFailure("a batch was answered with \(answer.status)") }
            for item in 0..<1_000 { world.ledger.ignore("bulk-\(batch)-\(item)") }
        }
    }
}
