/// The cases of one vector file, and how to run one of them.
///
/// A suite never looks at a clock or a network: what a case needs is in the case (see the vector folder's README).
package protocol VectorSuite: Sendable {
    /// The file that holds this suite's cases, e.g. `xeddsa.json`.
    static var fileName: String { get }

    /// Runs one case. Returns normally when our result is the one the case states; throws `VectorMismatch` when it is not.
    /// Any other error that escapes counts as a mismatch too, so a suite catches those that a case expects (`error`, `valid: false`, `ok: false`).
    static func run(_ vector: VectorCase) throws
}

/// One entry of a file's `cases`.
package struct VectorCase: Sendable {
    package let json: JSONValue

    package init(_ json: JSONValue) { self.json = json }

    package var name: String { (try? json.string("name")) ?? "unnamed" }
    package var group: String { (try? json.string("group")) ?? "" }
    /// `advisory: true` marks leniency that implementations may decide differently: a difference is counted apart and fails nothing.
    package var isAdvisory: Bool { json.flag("advisory") }
}

/// Our result differs from the one a case states, or the case does not have the shape its file's description promises.
package struct VectorMismatch: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Throws `VectorMismatch` when the two differ; `what` names the compared thing.
package func expectEqual<Value: Equatable>(_ ours: Value, _ theirs: Value, _ what: String) throws {
    guard ours != theirs else { return }
    throw VectorMismatch("\(what): ours \(ours), expected \(theirs)")
}

/// Throws `VectorMismatch` unless `condition` holds.
package func expect(_ condition: Bool, _ what: String) throws {
    guard condition else { throw VectorMismatch(what) }
}

/// Throws `VectorMismatch` unless `body` throws; for cases that mark input to be refused.
package func expectRefusal(_ what: String, _ body: () throws -> Void) throws {
    do { try body() } catch { return }
    throw VectorMismatch("\(what) was accepted")
}
