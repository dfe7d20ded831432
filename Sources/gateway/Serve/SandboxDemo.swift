import Domain
import Foundation
import Postgres
import ServiceLifecycle
import Simulator
import Web

/// What the sandbox does by itself once everything runs: a fresh demo account with paired senders sends one message, and its timeline,
/// route and the recipient's own copies are printed. With `once` the process ends there.
actor SandboxDemo: Service {
    private static let name = "Sandbox demo"
    private static let recipient = "+6281234567001"

    private let workplace: Workplace
    private let simulator: WhatsAppSimulator
    private let fakes: SandboxFakes
    private let senders: Int
    private let once: Bool
    private let port = AsyncStream<Int>.makeStream()
    private let metricsPort = AsyncStream<Int>.makeStream()

    init(workplace: Workplace, simulator: WhatsAppSimulator, fakes: SandboxFakes = SandboxFakes(), senders: Int, once: Bool) {
        self.workplace = workplace
        self.simulator = simulator
        self.fakes = fakes
        self.senders = senders
        self.once = once
    }

    /// The API listens on this port.
    nonisolated func listening(on number: Int) {
        port.continuation.yield(number)
        port.continuation.finish()
    }

    /// The operators' listener has this port; nil: it could not listen.
    nonisolated func showsMetrics(on number: Int?) {
        if let number { metricsPort.continuation.yield(number) }
        metricsPort.continuation.finish()
    }

    /// Returns when the demonstration is over (`once`), which ends the service group, or at shutdown.
    func run() async throws {
        try await cancelWhenGracefulShutdown { [self] in
            guard let port = await Self.first(of: port.stream) else { return }
            do {
                try await demonstrate(port)
                if !once { try await gracefulShutdown() }
            } catch is CancellationError {}
        }
    }

    private static func first(of ports: AsyncStream<Int>) async -> Int? {
        for await number in ports { return number }
        return nil
    }

    private var gateway: Gateway { workplace.gateway }

    private func demonstrate(_ port: Int) async throws {
        try await closeEarlierDemos()
        let account = try await gateway.accounts.create(name: Self.name, now: Date())
        let key = try await gateway.apiKeys.create(account: account.id, label: "demo", test: true, now: Date())
        for number in 1...senders { try await pair("Demo \(number)", account.id) }

        let caller = Caller(account: account.id, isTest: true)
        let request = try SendMessage(to: Self.recipient, body: "Hello from the sandbox. Your code is 123456.", reference: "demo", now: Date())
        let accepted = try await gateway.messages.accept(request, caller: caller, idempotencyKey: nil, now: Date())
        let message = try await settled(accepted.message.id, account.id)
        try await show(message)

        fflush(nil)
        guard !once else { return }
        var operators = "server.metrics_listen is empty: no metrics"
        if let address = workplace.settings.server.metrics {
            operators = "none: \(address.host):\(address.port) is taken by somebody else"
            if let port = await Self.first(of: metricsPort.stream) { operators = "http://127.0.0.1:\(port)/metrics      health: /health/details" }
        }
        print(
            """

            The sandbox is running; stop it with Ctrl-C.
              API          http://127.0.0.1:\(port)
              docs         http://127.0.0.1:\(port)/docs      description: /openapi.yaml
              metrics      \(operators)
              simulator    \(simulator.controlURL)      what devices received: /control/received
              alerts       \(fakes.telegram.map { "\($0.url)      what the bot wrote: /control/messages; write to it: /control/say" } ?? "your own bot")
              e-mails      \(fakes.resend.map { "\($0.url)      what was sent: /control/mails" } ?? "over your own Resend account")

              export GATEWAY_KEY=\(key.secret)

              curl -sS http://127.0.0.1:\(port)/v1/messages \\
                -H "Authorization: Bearer $GATEWAY_KEY" -H "Content-Type: application/json" -H "Idempotency-Key: order-17" \\
                -d '{"to": "+628123456789", "type": "text", "text": {"body": "Kode Anda 123456"}}'
            """)
        fflush(nil)
    }

    /// The simulator forgets its phones when it ends, so accounts of earlier runs are of no use any more.
    private func closeEarlierDemos() async throws {
        for account in try await gateway.accounts.list() where account.name == Self.name || account.state == .closing {
            _ = try await gateway.closing.close(account.id, patience: 0, now: { Date() })
        }
    }

    private func pair(_ label: String, _ account: Account.ID) async throws {
        let sender = try await gateway.senders.create(account: account, label: label, test: true, now: Date())
        _ = try await gateway.pairing.request(sender: sender.id, account: account, now: Date())
        var scanned = ""
        try await wait("sender \(label) to be paired", for: .seconds(60)) {
            if let code = try await gateway.pairing.current(sender: sender.id, account: account, now: Date())?.code, code.text != scanned {
                scanned = code.text
                try simulator.scan(qr: code.text)
            }
            return try await gateway.senders.get(sender.id, account: account)?.state == .ready
        }
    }

    private func settled(_ id: Message.ID, _ account: Account.ID) async throws -> MessageView {
        try await wait("the message to be delivered", for: .seconds(60)) {
            let status = try await gateway.messages.find(id, account: account)?.status
            return status == .delivered || status == .read || status == .failed || status == .unconfirmed
        }
        guard let message = try await gateway.messages.find(id, account: account) else { throw Failure("the demo message is gone") }
        return message
    }

    private func show(_ message: MessageView) async throws {
        let events = try await gateway.messages.events(message.id, account: message.account) ?? []
        print("message   \(message.id)")
        print("timeline  " + events.map(\.kind.rawValue).joined(separator: " → "))
        for event in events { print("          \(Timestamp.text(event.at))  \(event.kind.rawValue)") }
        print("route     \(message.route.policy.rawValue): \(message.route.reason); sender \(message.sender?.label ?? "none")")
        for copy in simulator.received(id: message.wireID) where !copy.isOwnCopy {
            print("received  by device \(copy.device): \(copy.text ?? "nothing readable") (shown \(copy.shown)×)")
        }
        guard message.status == .delivered || message.status == .read else { throw Failure("the demo message was not delivered") }
    }

    private func wait(_ what: String, for limit: Duration, until isTrue: () async throws -> Bool) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        while clock.now < end {
            if try await isTrue() { return }
            try await clock.sleep(for: .milliseconds(20))
        }
        throw Failure("waited in vain for \(what)")
    }
}
