import CSodium

/// Key material: wiped when the last reference goes away, never printed, never compared by `==`.
///
/// An ordinary allocation that is overwritten at the end, not `sodium_malloc`: that takes three guard pages and an `mlock`ed one per
/// key, and a process that holds tens of thousands of Signal keys would run out of both mappings and lockable memory. What is left
/// open (swap, core dumps) is closed for the whole process at its start.
package final class SecretBytes: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    // Invariant: written in `init` only, before anybody else can hold a reference; read-only until `deinit`, which is the last to see it.
    nonisolated(unsafe) private let storage: UnsafeMutablePointer<UInt8>
    /// In bytes.
    package let count: Int

    /// Copies `bytes`. The caller's array stays as it is: wipe it with `Sodium.wipe` if it lives on.
    package init(copying bytes: [UInt8]) {
        Sodium.prepare()
        count = bytes.count
        storage = .allocate(capacity: max(bytes.count, 1))
        storage.initialize(repeating: 0, count: max(bytes.count, 1))
        for index in bytes.indices { storage[index] = bytes[index] }
    }

    /// `count` random bytes.
    package convenience init(count: Int, random: any RandomSource) {
        var bytes = random.bytes(count)
        self.init(copying: bytes)
        Sodium.wipe(&bytes)
    }

    deinit {
        sodium_memzero(storage, count)
        storage.deallocate()
    }

    /// Lends the bytes for the length of one call. The pointer must not outlive it.
    package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: storage, count: count))
    }

    /// The same for C functions that want a pointer; `count` bytes may be read.
    package func withPointer<R>(_ body: (UnsafePointer<UInt8>) -> R) -> R {
        body(UnsafePointer(storage))
    }

    /// A copy that is not wiped by itself.
    package func copyBytes() -> [UInt8] {
        withBytes { [UInt8]($0) }
    }

    /// Whether both hold the same bytes, in constant time.
    package func matches(_ other: SecretBytes) -> Bool {
        count == other.count && sodium_memcmp(storage, other.storage, count) == 0
    }

    /// The same for bytes that are held elsewhere.
    package func matches(_ other: [UInt8]) -> Bool {
        count == other.count && (count == 0 || sodium_memcmp(storage, other, count) == 0)
    }

    package var description: String { "SecretBytes(redacted)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
