import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite struct GroupCommitTests {
    private struct Poison: Error {}

    @Test func `a lone item is written alone, and a crowd shares writes`() async throws {
        let sizes = Mutex<[Int]>([])
        let gate = Gate()
        let group = GroupCommit<Int, Int>(maximum: 100, lanes: 1) { items in
            let isFirst = sizes.withLock { sizes in
                sizes.append(items.count)
                return sizes.count == 1
            }
            if isFirst { await gate.wait() }
            return items.map { .success($0 * 2) }
        }
        try await withThrowingTaskGroup(of: (Int, Int).self) { tasks in
            for number in 0..<251 { tasks.addTask { (number, try await group.submit(number)) } }
            while group.depth < 250 { await Task.yield() }
            gate.open()
            for try await (number, doubled) in tasks { #expect(doubled == number * 2) }
        }
        #expect(sizes.withLock { $0 } == [1, 100, 100, 50])
        #expect(group.depth == 0)
    }

    @Test func `a poisoned item fails only itself, in the real database`() async throws {
        try await withDatabase(connections: 2) { database, _ in
            try await database.execute("table", "CREATE TABLE item (id int8 PRIMARY KEY CHECK (id <> 13))")
            let group = GroupCommit<Int, Void>(maximum: 50, lanes: 2) { ids in
                try await database.execute("insert", "INSERT INTO item SELECT unnest(\(ids))")
                return ids.map { _ in .success(()) }
            }
            let failed = await withTaskGroup(of: Int?.self) { tasks in
                for id in 0..<300 {
                    tasks.addTask {
                        do {
                            try await group.submit(id)
                            return nil
                        } catch {
                            return id
                        }
                    }
                }
                return await tasks.reduce(into: Set<Int>()) { if let id = $1 { $0.insert(id) } }
            }
            #expect(failed == [13])
            #expect(try await database.query("count", "SELECT count(*) AS v FROM item") { try $0["v"] as Int } == [299])
        }
    }

    @Test(arguments: [false, true]) func `a lane that rests takes along what queues up meanwhile`(always: Bool) async throws {
        let sizes = Mutex<[Int]>([])
        let (writing, resting) = (Gate(), Gate())
        let rests = Mutex(0)
        let group = GroupCommit<Int, Int>(
            maximum: 100, lanes: 1, spacing: always ? .always(.seconds(3600)) : .whileQueued(.seconds(3600)),
            rest: { _ in
                rests.withLock { $0 += 1 }
                await resting.wait()
            },
            write: { items in
                sizes.withLock { $0.append(items.count) }
                await writing.wait()
                return items.map { .success($0) }
            })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { _ = try await group.submit(0) }
            while sizes.withLock({ $0.isEmpty }) { await Task.yield() }
            tasks.addTask { _ = try await group.submit(1) }
            while group.depth < 1 { await Task.yield() }
            writing.open()
            while rests.withLock({ $0 }) < 1 { await Task.yield() }
            for number in 2..<9 { tasks.addTask { _ = try await group.submit(number) } }
            while group.depth < 7 { await Task.yield() }
            resting.open()
            try await tasks.waitForAll()
        }
        #expect(sizes.withLock { $0 } == [1, 8])
        // Alone again: at once, unless every write keeps its distance.
        #expect(try await group.submit(9) == 9)
        #expect(rests.withLock { $0 } == (always ? 2 : 1))
    }

    @Test func `a full batch does not rest, and a crowd opens another lane`() async throws {
        let sizes = Mutex<[Int]>([])
        let gate = Gate()
        let group = GroupCommit<Int, Int>(
            maximum: 10, lanes: 2, crowd: 5, spacing: .whileQueued(.seconds(3600)), rest: { _ in Issue.record("nobody rests") },
            write: { items in
                sizes.withLock { $0.append(items.count) }
                await gate.wait()
                return items.map { .success($0) }
            })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { _ = try await group.submit(0) }
            while sizes.withLock({ $0.isEmpty }) { await Task.yield() }
            for number in 1...5 { tasks.addTask { _ = try await group.submit(number) } }
            while group.depth < 5 { await Task.yield() }
            tasks.addTask { _ = try await group.submit(6) }
            while sizes.withLock({ $0.count }) < 2 { await Task.yield() }
            #expect(sizes.withLock { $0 } == [1, 6] && group.depth == 0)
            for number in 7..<17 { tasks.addTask { _ = try await group.submit(number) } }
            while group.depth < 10 { await Task.yield() }
            gate.open()
            try await tasks.waitForAll()
        }
        #expect(sizes.withLock { $0 } == [1, 6, 10])
    }

    @Test func `results are each item's own, and an unknown outcome is not tried again`() async throws {
        let writes = Mutex(0)
        let group = GroupCommit<Int, Int>(maximum: 10, lanes: 1) { items in
            writes.withLock { $0 += 1 }
            if items.contains(7) { throw DatabaseError(.commitUnknown) }
            return items.map { $0 == 3 ? .failure(Poison()) : .success($0) }
        }
        #expect(try await group.submit(1) == 1)
        await #expect(throws: Poison.self) { try await group.submit(3) }
        await #expect(throws: DatabaseError(.commitUnknown)) { try await group.submit(7) }
        #expect(writes.withLock { $0 } == 3)
    }

    @Test(arguments: [false, true]) func `who has waited for a server that does not answer is told so, but not when it refused`(answers: Bool)
        async throws
    {
        let gate = Gate()
        let commits = GroupCommit<Int, Int>(maximum: 1, lanes: 1, patience: .zero) { items in
            guard items == [0] else { return items.map { .success($0) } }
            await gate.wait()
            throw DatabaseError(.unavailable, sqlState: answers ? "53100" : nil)
        }
        let tickets = try (0..<4).map { try commits.enqueue($0) }
        gate.open()
        var codes: [DatabaseError.Code?] = []
        for ticket in tickets { codes.append(try await databaseError { try await ticket.value() }?.code) }
        #expect(codes == (answers ? [.unavailable, nil, nil, nil] : [.unavailable, .unavailable, .unavailable, .unavailable]))
    }

    @Test(arguments: [false, true]) func `when no server could be reached nobody waits behind that, but behind a lost connection they go on`(
        isAway: Bool
    )
        async throws
    {
        let gate = Gate()
        let commits = GroupCommit<Int, Int>(maximum: 1, lanes: 1, patience: .seconds(3_600)) { items in
            guard items == [0] else { return items.map { .success($0) } }
            await gate.wait()
            throw DatabaseError(.unavailable, statement: isAway ? "connect" : "accept")
        }
        let tickets = try (0..<4).map { try commits.enqueue($0) }
        gate.open()
        var codes: [DatabaseError.Code?] = []
        for ticket in tickets { codes.append(try await databaseError { try await ticket.value() }?.code) }
        #expect(codes == (isAway ? [.unavailable, .unavailable, .unavailable, .unavailable] : [.unavailable, nil, nil, nil]))
    }

    @Test func `cancelling takes a waiting item out, but never one that is being written`() async throws {
        let gate = Gate()
        let (began, signal) = AsyncStream.makeStream(of: Void.self)
        let written = Mutex<[Int]>([])
        let group = GroupCommit<Int, Int>(maximum: 10, lanes: 1, queueLimit: 1) { items in
            signal.yield()
            await gate.wait()
            written.withLock { $0 += items }
            return items.map { .success($0) }
        }
        let leader = Task { try await group.submit(1) }
        for await _ in began { break }
        let waiting = Task { try await group.submit(2) }
        while group.depth < 1 { await Task.yield() }
        await #expect(throws: DatabaseError.self) { try await group.submit(3) }  // the queue is full
        leader.cancel()
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        gate.open()
        #expect(try await leader.value == 1)
        #expect(try await group.submit(4) == 4)
        #expect(written.withLock { $0 } == [1, 4])
    }

    @Test func `a thousand items cancelled at random each end exactly once`() async throws {
        let group = GroupCommit<Int, Int>(maximum: 16, lanes: 3) { items in
            await Task.yield()
            return items.map { .success($0) }
        }
        await withTaskGroup(of: Void.self) { tasks in
            for number in 0..<1_000 {
                tasks.addTask {
                    let task = Task { try await group.submit(number) }
                    if number % 3 == 0 { task.cancel() }
                    if case .success(let value) = await task.result { #expect(value == number) }
                }
            }
        }
        #expect(group.depth == 0)
        #expect(try await group.submit(5) == 5)
    }
}
