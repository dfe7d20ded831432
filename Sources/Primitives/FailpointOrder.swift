#if DEBUG
    import Foundation
    import Synchronization

    /// What a proof wants to happen at a failpoint: `NAME[@TEXT][:N][:kill|:stop|:hold]`, such as `on_wire`, `claim_begin:3:stop`, `encrypted@poison`.
    ///
    /// `kill` is SIGKILL, `stop` SIGSTOP (the proof sends SIGCONT), `hold` blocks the thread for five seconds. It happens at the Nth hit, and
    /// with `@TEXT` only where the place is about that text. An order from the file is taken away before it is carried out, by renaming the
    /// file to `FILE.PID`: of several processes that share it one obeys, and the proof sees which.
    struct FailpointOrder: Equatable {
        enum Action: String { case kill, stop, hold }

        let point: String
        let text: String
        let number: Int
        let action: Action
        let isFromFile: Bool
        /// As it was given; another order of the same words counts its hits anew only if it is not the same text.
        private let words: String

        init(_ words: String, isFromFile: Bool) {
            let parts = words.split(separator: "#")[0].split(separator: ":").map(String.init)
            let place = parts[0].split(separator: "@", maxSplits: 1).map(String.init)
            point = place[0]
            text = place.count > 1 ? place[1] : ""
            number = parts.dropFirst().lazy.compactMap { Int($0) }.first ?? 1
            action = parts.dropFirst().lazy.compactMap { Action(rawValue: $0) }.first ?? .kill
            self.isFromFile = isFromFile
            self.words = words
        }

        private static let fromEnvironment = ProcessInfo.processInfo.environment["FAILPOINT"].flatMap { words in
            words.isEmpty ? nil : FailpointOrder(words, isFromFile: false)
        }
        private static let file = ProcessInfo.processInfo.environment["FAILPOINT_FILE"]
        private static let hits = Mutex<[String: Int]>([:])

        static func current() -> FailpointOrder? {
            guard let file else { return fromEnvironment }
            guard let content = FileManager.default.contents(atPath: file) else { return fromEnvironment }
            let words = String(decoding: content, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            return words.isEmpty ? fromEnvironment : FailpointOrder(words, isFromFile: true)
        }

        static func carryOut(at point: Failpoint, on text: @autoclosure () -> String) {
            guard let order = current(), order.point == point.rawValue, order.text.isEmpty || text().contains(order.text) else { return }
            let isDue = hits.withLock { hits in
                hits[order.words, default: 0] += 1
                return hits[order.words] == order.number
            }
            guard isDue else { return }
            if order.isFromFile, let file, rename(file, "\(file).\(getpid())") != 0 { return }
            switch order.action {
            case .kill:
                kill(getpid(), SIGKILL)
                while true { pause() }
            // To this very thread, which so takes no further step; the others stop with it.
            case .stop: raise(SIGSTOP)
            case .hold: Thread.sleep(forTimeInterval: 5)
            }
        }
    }
#endif
