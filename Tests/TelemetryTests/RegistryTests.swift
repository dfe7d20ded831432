import Foundation
import Metrics
import Synchronization
import Telemetry
import Testing

@Suite(.timeLimit(.minutes(5))) struct RegistryTests {
    private static let definitions = [
        MetricDefinition("requests_total", .counter, "Requests.", labels: ["route", "status"], limit: 3),
        MetricDefinition("level", .gauge, "A level."),
        MetricDefinition("took_seconds", .histogram(bounds: [0.1, 1, 10]), "Seconds.", labels: ["kind"]),
        MetricDefinition("told", .gauge, "Told at a scrape.", labels: ["state"]),
    ]

    @Test func `Everything that is defined is described, and what has a value has a line`() async {
        let registry = MetricRegistry(Self.definitions)
        Counter(label: "requests_total", dimensions: [("status", "200"), ("route", "/v1/messages")], factory: registry).increment(by: 3)
        Meter(label: "level", factory: registry).set(1.5)
        let timer = Timer(label: "took_seconds", dimensions: [("kind", "live")], factory: registry)
        for milliseconds in [50, 100, 101, 20_000] { timer.recordMilliseconds(milliseconds) }
        registry.add { [Sample("told", ["b"], 2), Sample("told", ["a"], 1), Sample("unknown", [], 9), Sample("told", [], 9)] }

        #expect(
            await registry.exposition() == """
                # HELP requests_total Requests.
                # TYPE requests_total counter
                requests_total{route="/v1/messages",status="200"} 3
                # HELP level A level.
                # TYPE level gauge
                level 1.5
                # HELP took_seconds Seconds.
                # TYPE took_seconds histogram
                took_seconds_bucket{kind="live",le="0.1"} 2
                took_seconds_bucket{kind="live",le="1"} 3
                took_seconds_bucket{kind="live",le="10"} 3
                took_seconds_bucket{kind="live",le="+Inf"} 4
                took_seconds_sum{kind="live"} 20.251
                took_seconds_count{kind="live"} 4
                # HELP told Told at a scrape.
                # TYPE told gauge
                told{state="a"} 1
                told{state="b"} 2

                """)
    }

    @Test func `Label values and help are escaped as the format asks for`() async {
        let registry = MetricRegistry([MetricDefinition("odd", .gauge, "Back\\slash,\nline and \"quotes\".", labels: ["text"])])
        Meter(label: "odd", dimensions: [("text", "a\\b\"c\nd é")], factory: registry).set(-1)
        #expect(
            await registry.exposition()
                == "# HELP odd Back\\\\slash,\\nline and \"quotes\".\n# TYPE odd gauge\nodd{text=\"a\\\\b\\\"c\\nd é\"} -1\n")
    }

    @Test(
        arguments: [
            (0.0, "0"), (-3, "-3"), (0.25, "0.25"), (1e20, "1e+20"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
            (1_780_000_000, "1780000000"),
        ] as [(Double, String)])
    func `Numbers are written as Prometheus reads them`(_ value: Double, _ text: String) async {
        let registry = MetricRegistry([MetricDefinition("number", .gauge, "A number.")])
        registry.add { [Sample("number", [], value)] }
        #expect(await registry.exposition().hasSuffix("\nnumber \(text)\n"))
    }

    @Test func `What is not defined, or one combination too many, counts nowhere and is noticed`() async {
        let registry = MetricRegistry(Self.definitions)
        for status in 0..<10 {
            Counter(label: "requests_total", dimensions: [("route", "r"), ("status", "\(status)")], factory: registry).increment()
        }
        #expect(registry.refusals == 7)
        Counter(label: "somebody_elses", factory: registry).increment()
        Counter(label: "level", factory: registry).increment()
        Counter(label: "requests_total", dimensions: [("route", "r")], factory: registry).increment()
        Counter(label: "requests_total", dimensions: [("route", "r"), ("account", "x")], factory: registry).increment()
        #expect(registry.refusals == 10)
        let text = await registry.exposition()
        #expect(text.split(separator: "\n").count { $0.hasPrefix("requests_total{") } == 3)
        #expect(!text.contains("somebody") && !text.contains("account") && text.contains("\nlevel 0\n"))
    }

    @Test func `Many threads lose nothing, and two handles of one series are the same series`() async {
        let registry = MetricRegistry(Self.definitions)
        await withDiscardingTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    let counter = Counter(label: "requests_total", dimensions: [("route", "r"), ("status", "200")], factory: registry)
                    let timer = Timer(label: "took_seconds", dimensions: [("kind", "live")], factory: registry)
                    for _ in 0..<5_000 {
                        counter.increment()
                        timer.recordSeconds(0.5)
                    }
                }
            }
        }
        let text = await registry.exposition()
        #expect(text.contains("requests_total{route=\"r\",status=\"200\"} 40000\n"))
        #expect(text.contains("took_seconds_bucket{kind=\"live\",le=\"0.1\"} 0\n"))
        #expect(text.contains("took_seconds_bucket{kind=\"live\",le=\"1\"} 40000\n"))
        #expect(text.contains("took_seconds_sum{kind=\"live\"} 20000\n"))
    }

    @Test func `A counter never falls`() async {
        let registry = MetricRegistry([MetricDefinition("up_total", .counter, "Up.")])
        let counter = Counter(label: "up_total", factory: registry)
        counter.increment(by: 5)
        counter.increment(by: -3)
        #expect(await registry.exposition().hasSuffix("\nup_total 5\n"))
    }

    @Test func `The process's own figures are there and make sense`() throws {
        let samples = Dictionary(uniqueKeysWithValues: ProcessFigures.read().map { ($0.name, $0.value) })
        #expect(Set(samples.keys) == Set(ProcessFigures.definitions.map(\.name)))
        #expect(try #require(samples["process_resident_memory_bytes"]) > 1_000_000)
        #expect(try #require(samples["process_open_fds"]) >= 3)
        #expect(try #require(samples["process_max_fds"]) >= samples["process_open_fds"] ?? 0)
        let start = try #require(samples["process_start_time_seconds"])
        #expect(start <= Date().timeIntervalSince1970 + 1 && start > Date().timeIntervalSince1970 - 7 * 86_400)
    }
}

@Suite(.timeLimit(.minutes(5))) struct CachedReadingTests {
    @Test func `It is read once for all who ask, and again when its time is over`() async {
        let begin = ContinuousClock.now
        let moment = Mutex(begin)
        let reads = Mutex(0)
        let (gate, opener) = AsyncStream<Void>.makeStream()
        let reading = CachedReading(lifetime: .seconds(5), time: { moment.withLock { $0 } }) {
            let number = reads.withLock { count in
                count += 1
                return count
            }
            if number == 1 { for await _ in gate { break } }
            return number
        }
        async let first = reading.value
        async let second = reading.value
        opener.yield()
        #expect(await [first, second] == [1, 1])
        moment.withLock { $0 = begin + .seconds(4) }
        #expect(await reading.value == 1)
        moment.withLock { $0 = begin + .seconds(6) }
        #expect(await reading.value == 2)
    }
}
