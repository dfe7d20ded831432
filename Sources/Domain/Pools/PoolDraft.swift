/// A pool that is worth making: the initialiser is the validation. Whether its senders exist, `Pools` finds out.
package struct PoolDraft: Sendable {
    /// A member as the client named it.
    package struct MemberInput: Sendable {
        package let sender: String?
        package let weight: Int?
        package let prefixes: [String]?

        package init(sender: String?, weight: Int? = nil, prefixes: [String]? = nil) {
            self.sender = sender
            self.weight = weight
            self.prefixes = prefixes
        }
    }

    package static let memberLimit = 1000
    package static let prefixLimit = 50
    package static let weights = 0...1000

    package let name: String
    package let policy: RoutingPolicy
    package let members: [Pool.Member]
    package let limits: SendingLimits

    /// - Parameter policy: nil is `sticky`.
    /// - Throws: every problem at once.
    package init(name: String?, policy: String?, members: [MemberInput]?, limits: SendingLimits.Shape? = nil) throws(InvalidPool) {
        var change = PoolFields()
        if name == nil { change.problems.append(SettingsProblem("/name", .required, "a pool has a name")) }
        if members == nil { change.problems.append(SettingsProblem("/members", .required, "name the senders of the pool, in their order")) }
        change.read(name, policy ?? RoutingPolicy.sticky.rawValue, members, limits ?? SendingLimits.Shape())
        guard change.problems.isEmpty, let name = change.name, let policy = change.policy, let members = change.members, let limits = change.limits
        else { throw InvalidPool(problems: change.problems) }
        self.name = name
        self.policy = policy
        self.members = members
        self.limits = limits
    }
}

/// What is to change of a pool; nil stays as it is. Members and limits are replaced as a whole.
package struct PoolChange: Sendable {
    package let name: String?
    package let policy: RoutingPolicy?
    package let members: [Pool.Member]?
    package let limits: SendingLimits?

    /// - Throws: every problem at once.
    package init(
        name: String? = nil, policy: String? = nil, members: [PoolDraft.MemberInput]? = nil, limits: SendingLimits.Shape? = nil
    ) throws(InvalidPool) {
        var change = PoolFields()
        change.read(name, policy, members, limits)
        guard change.problems.isEmpty else { throw InvalidPool(problems: change.problems) }
        self.name = change.name
        self.policy = change.policy
        self.members = change.members
        self.limits = change.limits
    }
}

/// A pool that cannot be meant, or names senders that are not there: every problem at once.
package struct InvalidPool: Error, Sendable, Hashable {
    package let problems: [SettingsProblem]
}

/// Reads the fields of a pool and collects what is wrong with them.
private struct PoolFields {
    var name: String?
    var policy: RoutingPolicy?
    var members: [Pool.Member]?
    var limits: SendingLimits?
    var problems: [SettingsProblem] = []

    mutating func read(_ name: String?, _ policy: String?, _ members: [PoolDraft.MemberInput]?, _ limits: SendingLimits.Shape?) {
        if let name {
            self.name = name
            if !(1...80).contains(name.unicodeScalars.count) || name.unicodeScalars.contains(where: { $0.value < 0x20 }) {
                problems.append(SettingsProblem("/name", .invalidValue, "1 to 80 characters, none of them a control character"))
            }
        }
        if let policy {
            self.policy = RoutingPolicy.ofPools.first { $0.rawValue == policy }
            let known = RoutingPolicy.ofPools.map(\.rawValue).joined(separator: ", ")
            if self.policy == nil { problems.append(SettingsProblem("/policy", .unknownPolicy, "one of " + known)) }
        }
        if let members { self.members = read(members) }
        if let limits {
            do { self.limits = try SendingLimits(limits, for: .pool) } catch { problems += error.problems }
        }
    }

    private mutating func read(_ inputs: [PoolDraft.MemberInput]) -> [Pool.Member] {
        if inputs.isEmpty { problems.append(SettingsProblem("/members", .emptyPool, "a pool has at least one sender")) }
        guard inputs.count <= PoolDraft.memberLimit else {
            problems.append(SettingsProblem("/members", .tooMany, "a pool has at most 1,000 senders"))
            return []
        }
        var seen: Set<Sender.ID> = []
        var members: [Pool.Member] = []
        for (place, input) in inputs.enumerated() {
            let pointer = "/members/\(place)"
            if let weight = input.weight, !PoolDraft.weights.contains(weight) {
                problems.append(SettingsProblem(pointer + "/weight", .outOfRange, "from 0 to 1000"))
            }
            let prefixes = read(input.prefixes ?? [], pointer + "/prefixes")
            guard let text = input.sender else {
                problems.append(SettingsProblem(pointer + "/sender", .required, "a sender id is snd_…"))
                continue
            }
            do {
                let sender = try Sender.ID(text: text)
                if !seen.insert(sender).inserted {
                    problems.append(SettingsProblem(pointer + "/sender", .duplicate, "the sender is a member already"))
                }
                members.append(Pool.Member(sender, weight: input.weight ?? 1, prefixes: prefixes))
            } catch {
                problems.append(SettingsProblem(pointer + "/sender", .invalidID, "a sender id is snd_…"))
            }
        }
        return members
    }

    private mutating func read(_ texts: [String], _ pointer: String) -> [String] {
        if texts.count > PoolDraft.prefixLimit { problems.append(SettingsProblem(pointer, .tooMany, "at most 50 prefixes")) }
        return texts.enumerated().map { place, text in
            let digits = text.utf8.first == UInt8(ascii: "+") ? String(text.dropFirst()) : text
            if !(1...15).contains(digits.utf8.count) || !digits.utf8.allSatisfy(\.isASCIIDigit) || digits.utf8.first == UInt8(ascii: "0") {
                problems.append(SettingsProblem("\(pointer)/\(place)", .invalidValue, "the first 1 to 15 digits of numbers, such as +62"))
            }
            return digits
        }
    }
}
