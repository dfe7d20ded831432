/// What an Argon2id hash costs, as it stands in a PHC string.
package struct Argon2Parameters: Equatable, Sendable {
    package var memoryKiB: UInt32
    package var passes: UInt32
    package var lanes: UInt32

    static let saltLength = 16
    static let tagLength = 32
    /// Argon2 version 1.3.
    static let version: UInt32 = 0x13

    package init(memoryKiB: UInt32, passes: UInt32, lanes: UInt32) {
        self.memoryKiB = memoryKiB
        self.passes = passes
        self.lanes = lanes
    }

    /// 19 MiB, two passes, one lane: the OWASP floor, about 40 ms here.
    package static let standard = Argon2Parameters(memoryKiB: 19_456, passes: 2, lanes: 1)

    /// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$tag`. `nil` for anything else, and for costs beyond 1 GiB, 64 passes or 16 lanes: a
    /// changed row must not be able to stop the process.
    init?(phc: String) {
        let parts = phc.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0].isEmpty, parts[1] == "argon2id", parts[2] == "v=\(Self.version)", !parts[4].isEmpty, !parts[5].isEmpty
        else { return nil }
        let costs = parts[3].split(separator: ",", omittingEmptySubsequences: false)
        guard costs.count == 3, let memory = Self.number(costs[0], "m="), let passes = Self.number(costs[1], "t="),
            let lanes = Self.number(costs[2], "p="), (1...16).contains(lanes), (1...64).contains(passes), (8 * lanes...1 << 20).contains(memory)
        else { return nil }
        self.init(memoryKiB: memory, passes: passes, lanes: lanes)
    }

    private static func number(_ text: Substring, _ name: String) -> UInt32? {
        guard text.hasPrefix(name) else { return nil }
        return UInt32(text.dropFirst(name.count))
    }
}
