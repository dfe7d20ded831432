import Foundation
package import Primitives
import Synchronization

/// Why a hash was neither made nor checked.
package enum Argon2Failure: String, Error, Sendable {
    /// All permits are taken and the queue is full: answer 429, ask again later.
    case overloaded
    /// The stored text is no Argon2id hash of ours, or the machine has no memory for one.
    case failed
}

/// Makes and checks Argon2id hashes (PHC strings), on threads of its own and only a few at once: each takes a core for tens of
/// milliseconds and 19 MiB, so a flood of logins would otherwise stop everything else.
///
/// Feed it `APIKeySecret.peppered(with:)`, never a bare secret.
package final class Argon2Hasher: Sendable {
    private let parameters: Argon2Parameters
    private let random: any RandomSource
    private let workers: WorkerThreads
    private let decoy: String
    private let checks = Atomic(0)

    /// `permits` hashes run at once (by default one per two cores), `queueLimit` more may wait.
    package init(
        parameters: Argon2Parameters = .standard, permits: Int = max(1, ProcessInfo.processInfo.activeProcessorCount / 2), queueLimit: Int = 32,
        random: any RandomSource = SystemRandom()
    ) {
        self.parameters = parameters
        self.random = random
        workers = WorkerThreads(threads: permits, queueLimit: queueLimit, name: "argon2")
        decoy = Argon2.decoy(parameters, random: random)
    }

    /// A new PHC string with a fresh salt of 16 bytes and a tag of 32.
    package func hash(_ input: SecretBytes) async throws(Argon2Failure) -> String {
        let salt = random.bytes(Argon2Parameters.saltLength)
        let parameters = parameters
        guard let result = await workers.run({ Argon2.hash(input, salt: salt, parameters: parameters) }) else { throw .overloaded }
        guard let phc = result else { throw .failed }
        return phc
    }

    /// Whether `input` is what `phc` was made of.
    package func verify(_ input: SecretBytes, against phc: String) async throws(Argon2Failure) -> Bool {
        checks.wrappingAdd(1, ordering: .relaxed)
        guard let result = await workers.run({ Argon2.verify(input, phc: phc) }) else { throw .overloaded }
        guard let isValid = result else { throw .failed }
        return isValid
    }

    /// For an unknown key id: takes the same permits and the same time as `verify`, and says no.
    package func verifyUnknown(_ input: SecretBytes) async throws(Argon2Failure) -> Bool {
        _ = try await verify(input, against: decoy)
        return false
    }

    /// Whether a check would be refused at this moment: all permits are taken and the queue is full.
    package var isOverloaded: Bool { workers.isFull }

    /// How often a hash was to be checked since the start, refused ones included.
    package var checkCount: Int { checks.load(ordering: .relaxed) }

    /// Whether the hash was made with other costs than today's, or is none at all. Ask after a successful `verify`.
    package func needsRehash(_ phc: String) -> Bool {
        Argon2Parameters(phc: phc) != parameters
    }
}
