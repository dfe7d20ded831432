import Foundation
import Glibc
import Logging
import Testing

@testable import gateway

/// Nobody who logs waits for whoever reads the log (reliability.md F104).
@Suite(.timeLimit(.minutes(5))) struct LogSinkTests {
    private struct Pipe {
        let reader: Int32
        let writer: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            // Children of other tests must not hold an end open.
            for end in ends { try #require(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
            (reader, writer) = (ends[0], ends[1])
        }

        /// Until the writing end is closed.
        func readAll() -> [Substring] {
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(reader, &buffer, buffer.count)
                guard count > 0 else { break }
                bytes += buffer.prefix(count)
            }
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        }
    }

    @Test func `Lines come out whole, in order, and all of them`() throws {
        let pipe = try Pipe()
        let sink = LogSink(descriptor: pipe.writer)
        for number in 0..<200 { sink.take("line \(number)") }
        #expect(sink.drain(within: .seconds(240)))
        #expect(sink.counts == (200, 0))
        close(pipe.writer)
        #expect(pipe.readAll() == (0..<200).map { "line \($0)" })
        close(pipe.reader)
    }

    @Test func `While nobody reads, whoever logs goes on, and what has no room is dropped and counted`() throws {
        // given a pipe (64 KiB) that is full long before the queue is
        let pipe = try Pipe()
        let sink = LogSink(descriptor: pipe.writer, limit: 256 << 10)
        let line = String(repeating: "x", count: 999)
        // when more is logged than pipe and queue hold
        for _ in 0..<1_000 { sink.take(line) }
        #expect(!sink.drain(within: .zero))
        // then the rest is dropped, and none of it is told before there is room
        let dropped = sink.counts.dropped
        #expect(dropped > 0 && dropped < 1_000)
        #expect(sink.takeDropped() == 0)
        // and once somebody reads, everything else comes out
        var read = 0
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while read < (1_000 - dropped) * 1_000 {
            let count = Glibc.read(pipe.reader, &buffer, buffer.count)
            try #require(count > 0)
            read += count
        }
        #expect(sink.drain(within: .seconds(240)))
        #expect(read == (1_000 - dropped) * 1_000)
        #expect(sink.counts == (1_000 - dropped, dropped))
        #expect(sink.takeDropped() == dropped)
        #expect(sink.takeDropped() == 0)
        close(pipe.writer)
        close(pipe.reader)
    }

    @Test func `A reader that is gone costs lines, not the process`() throws {
        let pipe = try Pipe()
        let sink = LogSink(descriptor: pipe.writer)
        close(pipe.reader)
        sink.take("to nobody")
        #expect(sink.drain(within: .seconds(240)))
        #expect(sink.counts == (0, 1))
        close(pipe.writer)
    }

    @Test func `A logger tells how many lines were dropped as soon as lines go through again`() throws {
        let pipe = try Pipe()
        let sink = LogSink(descriptor: pipe.writer, limit: 400)
        var logger = Logger(label: "test") { LogOutput(label: $0, level: .info, isJSON: true, sink: sink) }
        logger.logLevel = .info
        logger.info("\(String(repeating: "x", count: 600))")
        logger.info("next")
        #expect(sink.drain(within: .seconds(240)))
        close(pipe.writer)
        let lines = try pipe.readAll().map { try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: String]) }
        #expect(lines.map { $0["event"] } == ["log lines dropped", "next"])
        #expect(lines.first?["count"] == "1")
        close(pipe.reader)
    }
}
