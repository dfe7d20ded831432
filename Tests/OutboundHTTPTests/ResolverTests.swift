import Dispatch
import OutboundHTTP
import Synchronization
import Testing

@Suite struct ResolverTests {
    private var soon: ContinuousClock.Instant { .now + .seconds(600) }

    @Test func `the system knows localhost, and says when a name does not exist`() async throws {
        let resolver = SystemHostResolver()

        #expect(try await resolver.addresses(of: "localhost", until: soon).contains { $0.description == "127.0.0.1" || $0.description == "::1" })
        await #expect { try await resolver.addresses(of: "nonexistent.invalid", until: soon) } throws: {
            ($0 as? OutboundFailure)?.code == .dnsFailed
        }
    }

    @Test func `answers are kept for a while, failures for less`() async throws {
        let lookups = Mutex(0)
        let moment = Mutex(ContinuousClock.now)
        let resolver = SystemHostResolver(
            now: { moment.withLock { $0 } },
            lookup: { host in
                lookups.withLock { $0 += 1 }
                return host == "bad.test" ? .failure(OutboundFailure(.dnsFailed, "", isTransient: true)) : .success([.v4(0x0808_0808)])
            })
        func ask(_ host: String, after seconds: Int = 0) async -> Int {
            moment.withLock { $0 = $0 + .seconds(seconds) }
            _ = try? await resolver.addresses(of: host, until: soon)
            return lookups.withLock { $0 }
        }

        #expect(await ask("good.test") == 1)
        #expect(await ask("good.test", after: 9) == 1)
        #expect(await ask("good.test", after: 2) == 2)
        #expect(await ask("bad.test") == 3)
        #expect(await ask("bad.test", after: 1) == 3)
        #expect(await ask("bad.test", after: 2) == 4)
    }

    @Test func `callers share a lookup, and a silent name server costs no more than their deadline or patience`() async throws {
        let gate = DispatchSemaphore(value: 0)
        let started = Signal()
        let lookups = Mutex(0)
        let resolver = SystemHostResolver(
            threads: 2, queueLimit: 1,
            lookup: { host in
                lookups.withLock { $0 += 1 }
                started.send()
                if host.hasPrefix("slow") { gate.wait() }
                return .success([.v4(0x0808_0808)])
            })
        defer { for _ in 0..<4 { gate.signal() } }

        // One starts the lookup; all of these wait for it too, and their deadline passes.
        let waiting = Task { try await resolver.addresses(of: "slow1.test", until: soon) }
        await started.wait()
        await withTaskGroup(of: OutboundFailure.Code?.self) { group in
            for _ in 1...20 {
                group.addTask {
                    do throws(OutboundFailure) {
                        _ = try await resolver.addresses(of: "slow1.test", until: .now + .milliseconds(30))
                        return nil
                    } catch { return error.code }
                }
            }
            for await code in group { #expect(code == .timeout) }
        }
        #expect(lookups.withLock { $0 } == 1)

        // One thread is left, so others are still served.
        #expect(try await resolver.addresses(of: "quick.test", until: soon).count == 1)

        // A cancelled task does not wait.
        waiting.cancel()
        await #expect { try await waiting.value } throws: { ($0 as? OutboundFailure)?.code == .canceled }

        // Both threads busy and the queue full: the next one is told at once.
        let second = Task { try await resolver.addresses(of: "slow2.test", until: soon) }
        await started.wait(2)
        let codes = await withTaskGroup(of: OutboundFailure.Code?.self) { group in
            for number in 3...5 {
                group.addTask {
                    do throws(OutboundFailure) {
                        _ = try await resolver.addresses(of: "slow\(number).test", until: soon)
                        return nil
                    } catch { return error.code }
                }
            }
            var codes: [OutboundFailure.Code?] = []
            for await code in group {
                codes.append(code)
                if codes.count == 2 { group.cancelAll() }
            }
            return codes
        }
        #expect(codes == [.overloaded, .overloaded, .canceled])
        for _ in 0..<4 { gate.signal() }
        #expect(try await second.value.count == 1)
    }

    @Test func `a lookup that takes longer than the request may ends the request`() async throws {
        let gate = DispatchSemaphore(value: 0)
        defer { gate.signal() }
        let resolver = SystemHostResolver(lookup: { _ in
            gate.wait()
            return .success([])
        })
        try await withClient(resolver: resolver) { client async throws in
            let failure = await client.failure("http://slow.test:8080/") { $0.deadline = .milliseconds(30) }
            #expect(failure?.code == .timeout)
            #expect(failure?.shownCode == "unreachable")
        }
    }
}
