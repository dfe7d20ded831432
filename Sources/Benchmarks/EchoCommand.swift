import ArgumentParser
import Glibc
import Hummingbird
import Logging
import Proof
import ServiceLifecycle

/// `Benchmarks echo`: a bare Hummingbird server that decodes the JSON of a message and encodes it again. The ceiling of `POST /v1/messages`.
struct EchoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "echo", abstract: "Serves POST /v1/messages as a bare JSON echo.")

    @Option(help: "Loopback port.")
    var port: Int

    func run() async throws {
        var logger = Logger(label: "echo")
        logger.logLevel = .error
        let router = Router()
        router.get("/readyz") { _, _ in HTTPResponse.Status.ok }
        router.post("/v1/messages") { request, context in
            EditedResponse(status: .accepted, response: try await request.decode(as: EchoedMessage.self, context: context))
        }
        let server = Application(
            router: router, configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port), serverName: nil), logger: logger)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: server),
                    .init(service: ParentWatch(), successTerminationBehavior: .gracefullyShutdownGroup),
                ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }
}

/// The body of `POST /v1/messages` as `Scripts/bench.lua` writes it.
struct EchoedMessage: ResponseCodable {
    struct Text: Codable {
        var body: String
    }

    var to: String
    var type: String
    var text: Text
    var reference: String
    var metadata: [String: String]
}

/// Ends when the process that started this one is gone.
private struct ParentWatch: Service {
    func run() async throws {
        let parent = getppid()
        await cancelWhenGracefulShutdown {
            while getppid() == parent {
                do { try await ContinuousClock().sleep(for: .seconds(1)) } catch { return }
            }
        }
    }
}

extension Workbench {
    /// Has a bare echo running, in a process of its own, while `body` runs with its port.
    func withEcho<Result: Sendable>(_ body: (Int) async throws -> Result) async throws -> Result {
        guard let path = realpath("/proc/self/exe", nil) else { throw BenchmarkFailure("cannot find this program") }
        defer { free(path) }
        let port = try LoopbackPort.free()
        let log = "\(folder)/echo.log"
        let echo = try ChildProcess(String(cString: path), ["echo", "--port", "\(port)"], output: log)
        do {
            try await echo.waitUntilReady(port: port, log: log)
            let result = try await body(port)
            await echo.stop()
            return result
        } catch {
            await echo.stop()
            throw error
        }
    }
}
