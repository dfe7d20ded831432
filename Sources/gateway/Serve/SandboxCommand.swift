import Alerting
import ArgumentParser
import Domain
import Fakes
import Foundation
import Logging
import Metrics
import Primitives
import ServiceLifecycle
import Simulator
import Telemetry

/// `gateway sandbox`: everything in one process, with a WhatsApp simulator instead of WhatsApp.
struct SandboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox", abstract: "Runs PostgreSQL, a WhatsApp simulator, the API and the engine, and sends one real message.",
        discussion: "Nothing ever reaches WhatsApp. The data directory is .build/sandbox unless data_dir or GATEWAY_DATA_DIR says otherwise.")

    @OptionGroup var options: Options
    @Flag(help: "End after the first message; exit 0 only if it was delivered.")
    var once = false

    func run() async throws {
        var settings = try options.settings { environment in
            environment.merging([
                "GATEWAY_DATA_DIR": FileManager.default.currentDirectoryPath + "/.build/sandbox", "GATEWAY_DELIVERY_LOGINS_PER_SECOND": "100",
                "GATEWAY_ALERTS_INCLUDE_TEST": "true", "GATEWAY_WEBHOOKS_ALLOW_HTTP": "true", "GATEWAY_WEBHOOKS_ALLOW_NETWORKS": "127.0.0.0/8, ::1",
            ]) { given, _ in given }
        }
        let logger = options.logger(settings)
        var simulatorSettings = WhatsAppSimulator.Configuration()
        simulatorSettings.port = settings.sandbox.port
        let simulator = try await WhatsAppSimulator.start(configuration: simulatorSettings, logger: logger)
        let fakes = once ? SandboxFakes() : try await SandboxFakes.start(for: &settings)
        let registry = MetricRegistry(MetricCatalogue.all)
        MetricsSystem.bootstrap(registry)
        let workplace = try await Workplace.open(settings, logger: logger)
        let node = Node(workplace: workplace, roles: .all, simulator: (simulator.webSocketURL, simulator.rootKey), registry: registry)
        let demo = SandboxDemo(workplace: workplace, simulator: simulator, fakes: fakes, senders: settings.sandbox.senders, once: once)
        do {
            try await node.run(
                others: [demo], onMetrics: { port in demo.showsMetrics(on: port) }, onListening: { port in demo.listening(on: port) })
        } catch let failure as Failure {
            try await workplace.close()
            await simulator.stop()
            await fakes.stop()
            throw failure
        }
        try await workplace.close()
        await simulator.stop()
        await fakes.stop()
    }
}
