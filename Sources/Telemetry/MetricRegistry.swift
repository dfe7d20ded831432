package import CoreMetrics
import Synchronization

/// All metrics of one process, as a backend of swift-metrics.
///
///     let registry = MetricRegistry(definitions)
///     let sent = Counter(label: "gateway_sent_total", dimensions: [("kind", "live")], factory: registry)
///     registry.add { [Sample("gateway_senders", ["ready"], 12)] }      // asked for at each scrape
///     let text = await registry.exposition()
///
/// What is not defined is not exported: a counter of unknown name, kind or labels counts nowhere, and so does one combination of label values too
/// many; ``refusals`` says how often somebody asked for such a one. Making a metric takes a lock, recording never does: keep what was made.
package final class MetricRegistry: MetricsFactory {
    private enum Series: Sendable {
        case counter(CounterSeries)
        case gauge(GaugeSeries)
        case histogram(HistogramSeries)
    }

    private struct State {
        var series: [String: [[String]: Series]] = [:]
        var sources: [@Sendable () async -> [Sample]] = []
        var refusals = 0
    }

    /// In the order of the documentation.
    package let definitions: [MetricDefinition]
    private let byName: [String: MetricDefinition]
    private let state = Mutex(State())

    package init(_ definitions: [MetricDefinition]) {
        self.definitions = definitions
        byName = Dictionary(definitions.map { ($0.name, $0) }) { first, _ in first }
        precondition(byName.count == definitions.count, "a metric is defined twice")
        for definition in definitions where definition.labels.isEmpty { _ = series(definition, []) }
    }

    /// Metrics that somebody asked for and that are not kept.
    package var refusals: Int { state.withLock { $0.refusals } }

    /// Asks `source` at each scrape, all sources at the same time. A source keeps a deadline of its own; what it cannot tell it leaves out.
    package func add(source: @escaping @Sendable () async -> [Sample]) { state.withLock { $0.sources.append(source) } }

    // MARK: The backend of swift-metrics

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        guard case .counter(let series) = find(label, dimensions) else { return NOOPMetricsHandler.instance }
        return series
    }

    package func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler {
        guard case .counter(let series) = find(label, dimensions) else { return NOOPMetricsHandler.instance }
        return series
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        guard case .gauge(let series) = find(label, dimensions) else { return NOOPMetricsHandler.instance }
        return series
    }

    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        switch find(label, dimensions) {
        case .gauge(let series): series
        case .histogram(let series): series
        case .counter, nil: NOOPMetricsHandler.instance
        }
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        guard case .histogram(let series) = find(label, dimensions) else { return NOOPMetricsHandler.instance }
        return series
    }

    // A series lives as long as the process: a counter that began anew would read as a restart.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}

    /// The label values in the definition's order, whatever order they come in.
    private func find(_ name: String, _ dimensions: [(String, String)]) -> Series? {
        guard let definition = byName[name], dimensions.count == definition.labels.count else { return refuse() }
        var values: [String] = []
        for label in definition.labels {
            guard let value = dimensions.first(where: { $0.0 == label })?.1 else { return refuse() }
            values.append(value)
        }
        return series(definition, values)
    }

    private func refuse() -> Series? {
        state.withLock { $0.refusals += 1 }
        return nil
    }

    private func series(_ definition: MetricDefinition, _ values: [String]) -> Series? {
        state.withLock { state in
            if let known = state.series[definition.name]?[values] { return known }
            guard state.series[definition.name, default: [:]].count < definition.limit else {
                state.refusals += 1
                return nil
            }
            let series: Series =
                switch definition.kind {
                case .counter: .counter(CounterSeries())
                case .gauge: .gauge(GaugeSeries())
                case .histogram(let bounds): .histogram(HistogramSeries(bounds: bounds))
                }
            state.series[definition.name, default: [:]][values] = series
            return series
        }
    }

    // MARK: Scraping

    /// Everything there is to say now, in the text format 0.0.4. Waits for the sources.
    package func exposition() async -> String {
        let sources = state.withLock { $0.sources }
        let told = await withTaskGroup(of: [Sample].self) { group in
            for source in sources { group.addTask { await source() } }
            return await group.reduce(into: [Sample]()) { $0 += $1 }
        }
        let samples = Dictionary(grouping: told, by: \.name)
        let series = state.withLock { $0.series }
        var text = Exposition()
        for definition in definitions {
            text.begin(definition)
            var written: Set<[String]> = []
            // A source's word goes before what stands here: a metric without labels stands here from the beginning.
            for sample in (samples[definition.name] ?? []).sorted(by: { $0.values.lexicographicallyPrecedes($1.values) })
            where sample.values.count == definition.labels.count && written.count < definition.limit && written.insert(sample.values).inserted {
                text.add(definition, sample.values, sample.value)
            }
            let isTold = samples[definition.name] != nil
            for (values, series) in (series[definition.name] ?? [:]).sorted(by: { $0.key.lexicographicallyPrecedes($1.key) })
            where !isTold && !written.contains(values) {
                switch series {
                case .counter(let counter): text.add(definition, values, counter.value)
                case .gauge(let gauge): text.add(definition, values, gauge.value)
                case .histogram(let histogram): text.add(definition, values, histogram.cumulative, sum: histogram.sum)
                }
            }
        }
        return text.text
    }
}

/// One reading of a metric at a scrape.
package struct Sample: Sendable, Hashable {
    package var name: String
    /// In the order of the definition's labels.
    package var values: [String]
    package var value: Double

    package init(_ name: String, _ values: [String] = [], _ value: Double) {
        self.name = name
        self.values = values
        self.value = value
    }
}
