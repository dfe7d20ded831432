import ServiceLifecycle

/// A service that the others can do without: when it fails, they go on.
struct DispensableService<Wrapped: Service>: Service {
    let service: Wrapped
    /// Told once, with what it threw.
    let failed: @Sendable (any Error) async -> Void

    func run() async throws {
        do {
            try await service.run()
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            await failed(error)
            // Whoever returns early ends the whole group.
            try await gracefulShutdown()
        }
    }
}
