import CSodium

/// Whether two byte strings are equal, in a time that depends on their length only. The length itself is not hidden.
package func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    guard !a.isEmpty else { return true }
    return sodium_memcmp(a, b, a.count) == 0
}
