import API
import ArgumentParser
import Domain
import Foundation

/// `gateway pool …`
struct PoolCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool", abstract: "Makes, lists, shows, changes and deletes pools of senders.",
        subcommands: [Create.self, List.self, Show.self, Update.self, Delete.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "A new pool.")
        @OptionGroup var options: Options
        @OptionGroup var members: MemberOptions
        @OptionGroup var limits: LimitOptions
        @Option(help: "The account, acc_…") var account: String
        @Option(help: "Its name, 1 to 80 characters.") var name: String
        @Option(help: "sticky (default), round_robin, weighted, least_busy, priority, random or prefix.") var policy: String?
        @Flag(name: .customLong("default"), help: "Messages that name no route go through it.") var isDefault = false

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let (inputs, shape) = (try members.inputs() ?? [], try limits.shape())
            let draft = try PoolCommand.checked { () throws(InvalidPool) in
                try PoolDraft(name: name, policy: policy, members: inputs, limits: shape)
            }
            try await PoolCommand.use(options) { gateway in
                let pool = try await gateway.pools.create(account: account, draft, now: Date()).pool
                return isDefault ? try await gateway.pools.makeDefault(pool.id, account: account) : pool
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The account's pools, the default one first.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            try await Workplace.use(options) { workplace in
                let pools = try await workplace.gateway.pools.list(account)
                try options.print(
                    ["data": pools.map { PoolJSON($0) }],
                    pools.map { "\($0.id)  \($0.policy.rawValue)  \($0.members.count)  \($0.name)\($0.isDefault ? "  (default)" : "")" }
                        .joined(separator: "\n"))
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One pool with its members and limits.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The pool, pool_…") var pool: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Pool.ID.parsed(pool)
            try await PoolCommand.use(options) { gateway in try await gateway.pools.get(id, account: account) }
        }
    }

    struct Update: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Changes a pool; members and limits are replaced as a whole, what is not named stays.")
        @OptionGroup var options: Options
        @OptionGroup var members: MemberOptions
        @OptionGroup var limits: LimitOptions
        @Option(help: "The account, acc_…") var account: String
        @Option(help: "A new name.") var name: String?
        @Option(help: "sticky, round_robin, weighted, least_busy, priority, random or prefix.") var policy: String?
        @Flag(help: "No limits any more.") var resetLimits = false
        @Flag(name: .customLong("default"), help: "Messages that name no route go through it.") var isDefault = false
        @Argument(help: "The pool, pool_…") var pool: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Pool.ID.parsed(pool)
            let (inputs, shape) = (try members.inputs(), resetLimits ? SendingLimits.Shape() : try limits.shape())
            let change = try PoolCommand.checked { () throws(InvalidPool) in
                try PoolChange(name: name, policy: policy, members: inputs, limits: shape)
            }
            try await PoolCommand.use(options) { gateway in
                let pool = try await gateway.pools.update(id, account: account, change, now: Date())
                return isDefault ? try await gateway.pools.makeDefault(id, account: account) : pool
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Deletes a pool; its senders stay.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The pool, pool_…") var pool: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Pool.ID.parsed(pool)
            try await Workplace.use(options) { workplace in
                switch try await workplace.gateway.pools.delete(id, account: account) {
                case .deleted: try options.print(["deleted": id.description], "deleted")
                case .isDefault: throw Failure("this is the default pool; make another one the default first")
                case nil: throw Failure("there is no pool \(id)")
                }
            }
        }
    }

    /// Runs `body` and prints the pool it gives.
    private static func use(_ options: Options, _ body: @Sendable @escaping (Gateway) async throws -> Pool?) async throws {
        try await Workplace.use(options) { workplace in
            do {
                guard let pool = try await body(workplace.gateway) else { throw Failure("there is no such pool") }
                let members = pool.members.map { member in
                    "  \(member.sender)  weight \(member.weight)"
                        + (member.prefixes.isEmpty ? "" : "  prefixes \(member.prefixes.joined(separator: ","))")
                }
                try options.print(
                    PoolJSON(pool),
                    """
                    \(pool.id)  \(pool.name)\(pool.isDefault ? "  (default)" : "")
                    policy  \(pool.policy.rawValue)
                    limits  \(LimitOptions.lines(pool.limits).replacingOccurrences(of: "\n", with: ", "))
                    \(members.joined(separator: "\n"))
                    """)
            } catch let invalid as InvalidPool {
                throw ValidationError(LimitOptions.text(invalid.problems))
            }
        }
    }

    private static func checked<Value>(_ make: () throws(InvalidPool) -> Value) throws -> Value {
        do { return try make() } catch { throw ValidationError(LimitOptions.text(error.problems)) }
    }
}

/// Members on the command line, in their order: `--member snd_… --member snd_…:3 --member snd_…@62,60`.
struct MemberOptions: ParsableArguments {
    @Option(name: .customLong("member"), help: "A sender, with :WEIGHT and @PREFIX,PREFIX if wanted; any number of times, in order.")
    var members: [String] = []

    /// nil: none was given.
    func inputs() throws -> [PoolDraft.MemberInput]? {
        guard !members.isEmpty else { return nil }
        return try members.map { text in
            let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let named = parts[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let weight = named.count == 2 ? Int(named[1]) : nil
            guard named.count == 1 || weight != nil else { throw ValidationError("--member \(text): the weight is a whole number") }
            let prefixes = parts.count == 2 ? parts[1].split(separator: ",").map(String.init) : nil
            return PoolDraft.MemberInput(sender: named[0], weight: weight, prefixes: prefixes)
        }
    }
}
