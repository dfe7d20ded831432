import Synchronization

/// Texts in the order in which they came, such as the nonces of one cell.
final class Nonces: Sendable {
    private let list = Mutex<[String]>([])

    var all: [String] { list.withLock { $0 } }

    func add(_ nonce: String) { list.withLock { $0.append(nonce) } }
}
