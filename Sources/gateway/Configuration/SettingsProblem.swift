/// Why the configuration cannot be used: where it stands and what is allowed there.
struct SettingsProblem: Error, CustomStringConvertible {
    /// The file, or the environment variable that overrides it.
    var source: String
    /// Counted from 1; nil when the key is not in the file.
    var line: Int?
    var key: String
    var reason: String

    var description: String {
        let place = line.map { "\(source):\($0)" } ?? source
        return key.isEmpty ? "\(place): \(reason)" : "\(place): \(key) \(reason)"
    }
}
