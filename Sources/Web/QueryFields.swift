package import Hummingbird

/// Reads the query of a request parameter by parameter and collects what is wrong with it, as `StrictFields` does for a body: values that
/// cannot be read, parameters given twice, and those that nobody asked for. A mistyped filter is thus never a list of everything.
package struct QueryFields {
    private let parameters: [(name: String, value: String)]
    private var problems: [Problem.Field] = []
    private var known: Set<String> = []

    package init(_ request: Request) {
        parameters = request.uri.queryParameters.map { (String($0.key), String($0.value)) }
    }

    /// The parameter as `read` understands it, nil when absent. What it does not understand is noted with `code` and `detail`.
    package mutating func read<Value>(_ name: String, _ code: String, _ detail: String, _ read: (String) throws -> Value?) -> Value? {
        known.insert(name)
        let values = parameters.filter { $0.name == name }.map(\.value)
        guard let text = values.first else { return nil }
        if values.count > 1 { note(name, "duplicate", "is given twice") }
        // Why a value is no id or number is said by `detail`.
        let value = (try? read(text)) ?? nil
        if value == nil { note(name, code, detail) }
        return value
    }

    /// Throws 422 when anything was wrong.
    package mutating func finish() throws {
        for name in Set(parameters.map(\.name)).subtracting(known).sorted() { note(name, "unknown_field", "is not a parameter of this request") }
        guard problems.isEmpty else { throw Problem(.invalidRequest, "See errors for the query parameters to correct.", fields: problems) }
    }

    private mutating func note(_ name: String, _ code: String, _ detail: String) {
        problems.append(Problem.Field(pointer: "/" + StrictFields.escaped(name), code: code, detail: detail))
    }
}
