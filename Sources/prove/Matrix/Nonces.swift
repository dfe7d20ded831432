import Synchronization

/// The nonces of one cell, in the order of their posts.
final class Nonces: Sendable {
    private let list = Mutex<[String]>([])

    var all: [String] { list.withLock { $0 } }

    func add(_ nonce: String) { list.withLock { $0.append(nonce) } }
}
