import Foundation
import OutboundHTTP
import ServiceLifecycle
import Synchronization
import Testing

@Suite struct LifetimeTests {
    @Test func `cancelling the task aborts the transfer at once`() async throws {
        let (arrived, closed) = (Signal(), Signal())
        try await withServer({ peer in
            _ = peer.request()
            arrived.send()
            peer.waitForClose()
            closed.send()
        }) { server in
            try await withClient { client async throws in
                let task = Task { try await client.get("http://a.test:\(server.port)/") { $0.deadline = .seconds(300) } }
                await arrived.wait()
                task.cancel()

                await #expect { try await task.value } throws: {
                    ($0 as? OutboundFailure)?.code == .canceled && ($0 as? OutboundFailure)?.mayHaveArrived == true
                }
                await closed.wait()  // the connection is gone, not kept
            }
        }
    }

    @Test func `a task that is cancelled already, or while its request waits, sends nothing`() async throws {
        let arrived = Signal()
        try await withServer({ peer in
            while peer.request() != nil { arrived.send() }
        }) { server in
            try await withClient(change: {
                $0.runningPerHost = 1
            }) { client async throws in
                let url = "http://a.test:\(server.port)/"
                let first = Task { try await client.get(url) }
                await arrived.wait()
                let waiting = (1...20).map { _ in Task { try await client.get(url) } }
                for task in waiting { task.cancel() }
                for task in waiting {
                    await #expect { try await task.value } throws: {
                        ($0 as? OutboundFailure)?.code == .canceled && ($0 as? OutboundFailure)?.mayHaveArrived == false
                    }
                }
                first.cancel()
                _ = try? await first.value
            }
            #expect(server.accepted == 1)
        }
    }

    @Test func `a request that waits for its turn longer than its deadline has left nothing`() async throws {
        let arrived = Signal()
        try await withServer({ peer in
            while peer.request() != nil { arrived.send() }
        }) { server in
            try await withClient(change: {
                $0.runningPerHost = 1
            }) { client async throws in
                let url = "http://a.test:\(server.port)/"
                let first = Task { try await client.get(url) }
                await arrived.wait()
                let failure = await client.failure(url) { $0.deadline = .milliseconds(40) }

                #expect(failure?.code == .timeout)
                #expect(failure?.mayHaveArrived == false)
                first.cancel()
                _ = try? await first.value
            }
        }
    }

    @Test func `what waits is bounded`() async throws {
        let arrived = Signal()
        try await withServer({ peer in
            while peer.request() != nil { arrived.send() }
        }) { server in
            try await withClient(change: {
                $0.runningPerHost = 1
                $0.waitingPerHost = 3
            }) { client async throws in
                let url = "http://a.test:\(server.port)/"
                let first = Task { try await client.get(url) }
                await arrived.wait()
                // 10 more: 7 are told at once, 3 find a place and wait until nobody wants their answer.
                let codes = await withTaskGroup(of: OutboundFailure.Code?.self) { group in
                    for _ in 1...10 { group.addTask { await client.failure(url)?.code } }
                    var codes: [OutboundFailure.Code?] = []
                    for await code in group {
                        codes.append(code)
                        if codes.count == 7 { group.cancelAll() }
                    }
                    return codes
                }
                #expect(codes == Array(repeating: .overloaded, count: 7) + Array(repeating: .canceled, count: 3))
                first.cancel()
                _ = try? await first.value
            }
        }
    }

    @Test func `closing refuses what is new and lets what runs end`() async throws {
        let (arrived, release) = (Signal(), DispatchSemaphore(value: 0))
        try await withServer({ peer in
            _ = peer.request()
            arrived.send()
            release.wait()
            peer.ok()
        }) { server in
            try await withClient { client async throws in
                let url = "http://a.test:\(server.port)/"
                let running = Task { try await client.get(url) }
                await arrived.wait()
                let closing = Task { await client.close(within: .seconds(60)) }
                while await client.failure(url, { $0.deadline = .milliseconds(20) })?.code != .closed {}
                release.signal()

                #expect(try await running.value.status == 200)
                await closing.value
                #expect(await client.failure(url)?.code == .closed)
                #expect(client.load.running == 0 && client.load.waiting == 0)
                await client.close(within: .seconds(60))  // twice is once
            }
            release.signal()
        }
    }

    @Test func `closing ends what does not end by itself`() async throws {
        let arrived = Signal()
        try await withServer({ peer in
            while peer.request() != nil { arrived.send() }
        }) { server in
            try await withClient(change: {
                $0.runningPerHost = 2
            }) { client async throws in
                let tasks = (1...5).map { _ in Task { try await client.get("http://a.test:\(server.port)/") } }
                await arrived.wait(2)
                await client.close(within: .milliseconds(10))

                for task in tasks { await #expect { try await task.value } throws: { ($0 as? OutboundFailure)?.code == .closed } }
            }
        }
    }

    @Test func `a client that nobody closed ends its thread and its connections when it goes away`() async throws {
        let closed = Signal()
        try await withServer({ peer in
            peer.answerAll()
            closed.send()
        }) { server in
            do {
                let client = try HTTPClient(
                    .init(policy: .allowing(networks: loopback, schemes: [.http]), resolver: ScriptedResolver(), userAgent: "toy/1"))
                #expect(try await client.get("http://a.test:\(server.port)/").status == 200)
            }
            await closed.wait()
        }
    }

    @Test func `as a service it lives until shutdown`() async throws {
        let client = try HTTPClient(.init(userAgent: "toy/1"))
        let running = Task { try await client.run() }
        running.cancel()
        try await running.value

        #expect(await client.failure("https://8.8.8.8/")?.code == .closed)
    }
}

@Suite struct FairnessTests {
    @Test func `a hundred hosts, one of which never answers: the others get all their answers meanwhile`() async throws {
        let arrived = Signal()
        try await withServer({ peer in
            while let request = peer.request() {
                if request.header("host")?.hasPrefix("dead.") == true {
                    arrived.send()
                    peer.waitForClose()
                } else {
                    peer.ok()
                }
            }
        }) { server in
            try await withClient(change: {
                $0.running = 16
                $0.runningPerHost = 4
            }) { client async throws in
                let dead = (1...200).map { _ in Task { try await client.get("http://dead.test:\(server.port)/") { $0.deadline = .seconds(300) } } }
                await arrived.wait(4)
                let good = await withTaskGroup(of: Int.self) { group in
                    for host in 1...99 {
                        for _ in 1...5 { group.addTask { (try? await client.get("http://h\(host).test:\(server.port)/").status) ?? 0 } }
                    }
                    return await group.reduce(into: 0) { $0 += $1 == 200 ? 1 : 0 }
                }

                #expect(good == 495)
                #expect(client.load.running >= 4)
                for task in dead { task.cancel() }
                for task in dead { _ = try? await task.value }
            }
        }
    }
}
