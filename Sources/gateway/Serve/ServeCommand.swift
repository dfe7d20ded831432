import ArgumentParser
import Foundation
import Metrics
import Primitives
import Telemetry

/// `gateway serve`
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Runs the gateway until SIGTERM.",
        discussion: "Test senders connect to the simulator named by sandbox.endpoint; without one they stay unconnected (see `gateway sandbox`).")

    @OptionGroup var options: Options
    @Option(help: "What this process does, comma separated: api, engine, cron.")
    var roles = "api,engine,cron"

    func run() async throws {
        let settings = try options.settings()
        let logger = options.logger(settings, quiet: false)
        let roles = try parsedRoles()
        var simulator: (url: String, rootKey: PublicKey)?
        if !settings.sandbox.endpoint.isEmpty {
            simulator = (settings.sandbox.endpoint, try await SimulatorAddress.rootKey(of: settings.sandbox.endpoint))
        }
        let registry = MetricRegistry(MetricCatalogue.all)
        MetricsSystem.bootstrap(registry)
        let workplace = try await Workplace.open(settings, logger: logger)
        try await Node(workplace: workplace, roles: roles, simulator: simulator, registry: registry).run(
            onMetrics: { port in logger.info("metrics listen", metadata: ["port": "\(port)"]) },
            onListening: { port in logger.info("gateway listens", metadata: ["port": "\(port)"]) })
        try await workplace.close()
    }

    private func parsedRoles() throws -> Node.Roles {
        var result: Node.Roles = []
        for name in roles.split(separator: ",") {
            switch name.trimmingCharacters(in: .whitespaces) {
            case "api": result.insert(.api)
            case "engine": result.insert(.engine)
            case "cron": result.insert(.cron)
            default: throw ValidationError("--roles takes api, engine and cron")
            }
        }
        guard !result.isEmpty else { throw ValidationError("--roles takes at least one of api, engine and cron") }
        return result
    }
}
