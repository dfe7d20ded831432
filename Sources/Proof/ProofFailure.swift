/// Why a proof or a benchmark cannot go on; the text names what to look at.
package struct ProofFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ text: String) { description = text }
}
