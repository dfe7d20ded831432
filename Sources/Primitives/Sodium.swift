import CSodium

/// Makes sure that libsodium chose its implementations and its source of randomness before it is used.
///
/// `sodium_init` may be called from several threads, but must have returned once before anything else. A `static let` is initialised
/// exactly once, and everyone who comes meanwhile waits for it; after that a look costs one load.
package enum Sodium {
    private static let isReady = sodium_init() >= 0

    /// Every function that calls libsodium calls this first. A machine that cannot give randomness can do nothing safely: the process ends.
    @inline(__always)
    package static func prepare() {
        precondition(isReady, "libsodium could not be initialised: the system gives no randomness")
    }

    /// Overwrites `bytes` in a way that the optimiser does not remove. Copies made earlier are not reached.
    package static func wipe(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            sodium_memzero(base, buffer.count)
        }
    }
}
