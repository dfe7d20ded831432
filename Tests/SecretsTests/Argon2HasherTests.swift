import Dispatch
import Primitives
import Synchronization
import Testing

@testable import Secrets

@Suite struct Argon2HasherTests {
    let input = SecretBytes(count: 32, random: SystemRandom())

    @Test func `a hash is a PHC string of the stated cost and verifies only its input`() async throws {
        let hasher = Argon2Hasher()
        let phc = try await hasher.hash(input)

        #expect(phc.hasPrefix("$argon2id$v=19$m=19456,t=2,p=1$"))
        #expect(try await hasher.verify(input, against: phc))
        #expect(try await !hasher.verify(SecretBytes(count: 32, random: SystemRandom()), against: phc))
        #expect(!hasher.needsRehash(phc))
    }

    @Test func `the same input hashes differently each time`() async throws {
        let hasher = Argon2Hasher(parameters: .cheap)

        #expect(try await hasher.hash(input) != hasher.hash(input))
    }

    @Test func `a known answer of the reference implementation verifies`() async throws {
        // from the test suite of the Argon2 reference implementation: version 1.3, password `password`, salt `somesalt`
        let phc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
        let hasher = Argon2Hasher(parameters: .cheap)

        #expect(try await hasher.verify(SecretBytes(copying: Array("password".utf8)), against: phc))
        #expect(try await !hasher.verify(SecretBytes(copying: Array("passwore".utf8)), against: phc))
    }

    @Test func `other costs ask for a new hash`() async throws {
        let phc = try await Argon2Hasher(parameters: .cheap).hash(input)
        let hasher = Argon2Hasher()

        #expect(hasher.needsRehash(phc))
        #expect(try await hasher.verify(input, against: phc))
        #expect(hasher.needsRehash("plain"))
    }

    @Test(arguments: [
        "", "$", "password", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$bm9uZQ", "$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$bm9uZQ",
        "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$bm9uZQ", "$argon2id$v=19$m=8,t=1000000,p=1$c29tZXNhbHQ$bm9uZQ",
        "$argon2id$v=19$m=8,t=1,p=1$$", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", "$argon2id$v=19$m=8,t=1,p=0$c29tZXNhbHQ$bm9uZQ",
        "$argon2id$v=19$m=8,t=1,p=1$!!!$???",
    ]) func `a stored text that is no hash of ours is an error, not a no`(phc: String) async throws {
        let hasher = Argon2Hasher(parameters: .cheap)

        await #expect(throws: Argon2Failure.failed) { try await hasher.verify(input, against: phc) }
    }

    @Test func `an unknown key runs a real verification and is refused`() async throws {
        let hasher = Argon2Hasher(parameters: .cheap)
        let decoy = Argon2.decoy(.cheap, random: SystemRandom())

        #expect(try await !hasher.verifyUnknown(input))
        #expect(Argon2.verify(input, phc: decoy) == false)
        #expect(!hasher.needsRehash(decoy))
    }
}

@Suite struct WorkerThreadsTests {
    private struct Count {
        var now = 0
        var most = 0
    }

    @Test func `no more run at once than there are permits, and what finds the queue full is turned away`() async {
        // given: two threads held at a gate, and three waiting places
        let workers = WorkerThreads(threads: 2, queueLimit: 3, name: "test")
        let (gate, entered) = (DispatchSemaphore(value: 0), AsyncStream<Void>.makeStream())
        let running = Mutex(Count())
        let job: @Sendable () -> Bool = {
            running.withLock { count in
                count.now += 1
                count.most = max(count.most, count.now)
            }
            entered.continuation.yield()
            gate.wait()
            running.withLock { $0.now -= 1 }
            return true
        }

        // when: seven come at once
        let outcomes = await withTaskGroup(of: Bool?.self) { group in
            for _ in 0..<7 { group.addTask { await workers.run(job) } }
            var outcomes: [Bool?] = []
            // The two that find no place come back while the gate is still shut.
            for _ in 0..<2 { outcomes.append(await group.next() ?? nil) }
            #expect(outcomes == [nil, nil])
            #expect(workers.isFull)
            for _ in 0..<5 { gate.signal() }
            for await outcome in group { outcomes.append(outcome) }
            return outcomes
        }

        // then
        #expect(outcomes.filter { $0 == true }.count == 5)
        #expect(running.withLock { $0.most } <= 2)
        #expect(await workers.run { 7 } == 7)
        #expect(!workers.isFull)
    }

    @Test func `a hasher that is full says so at once`() async {
        let workers = WorkerThreads(threads: 1, queueLimit: 0, name: "test")
        let (gate, entered) = (DispatchSemaphore(value: 0), AsyncStream<Void>.makeStream())

        async let first = workers.run {
            entered.continuation.yield()
            gate.wait()
            return 1
        }
        for await _ in entered.stream { break }

        #expect(await workers.run { 2 } == nil)
        gate.signal()
        #expect(await first == 1)
    }
}
