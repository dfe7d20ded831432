/// Why the key ring could not be opened or changed. The description is for the operator: it names the file and what to do.
package struct KeyRingFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The directory holds no key, and the caller did not allow making one.
        case noKeys
        /// Some key files are there, but not the gateway's root key.
        case incomplete
        /// A file or the directory is open to others than its owner.
        case tooWide
        /// A file does not have 32 bytes, is no ordinary file, or holds a constant pattern.
        case badKey
        /// The key is the newest one, which is in use.
        case inUse
        /// The ring has no such key.
        case unknownKey
        /// The operating system refused.
        case system
    }

    package let code: Code
    /// The file or directory.
    package let path: String
    package let description: String

    init(_ code: Code, path: String, _ description: String) {
        self.code = code
        self.path = path
        self.description = description
    }
}
