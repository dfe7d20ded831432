/// What arrived where, newest kept; indexed by id, number and sender, so that asking costs no scan.
struct History: Sendable {
    private struct Key: Hashable, Sendable {
        var sender: DeviceReference
        var id: String
        var device: DeviceReference
    }

    private let limit: Int
    private var entries: [ReceivedMessage] = []
    private var keys: [Key] = []
    /// How many entries were dropped: entry n stands at `entries[n - 1 - dropped]`.
    private var dropped = 0
    private var byKey: [Key: Int] = [:]
    private var byID: [String: [Int]] = [:]
    private var byNumber: [String: [Int]] = [:]
    private var bySender: [String: [Int]] = [:]

    init(limit: Int) { self.limit = max(1, limit) }

    /// The entry of a message at a device, made by `make` (which is given the sequence) the first time; `change` sees it in place.
    mutating func update<Result>(
        sender: DeviceReference, id: String, device: DeviceReference, make: (Int) -> ReceivedMessage, change: (inout ReceivedMessage) -> Result
    ) -> Result {
        let key = Key(sender: sender, id: id, device: device)
        if let sequence = byKey[key] { return change(&entries[sequence - 1 - dropped]) }
        let sequence = dropped + entries.count + 1
        let entry = make(sequence)
        entries.append(entry)
        keys.append(key)
        byKey[key] = sequence
        byID[entry.id, default: []].append(sequence)
        byNumber[entry.number, default: []].append(sequence)
        bySender[entry.sender, default: []].append(sequence)
        let result = change(&entries[entries.count - 1])
        if entries.count > limit + limit / 4 { dropOldest() }
        return result
    }

    func received(id: String?, number: String?, sender: String?, after sequence: Int, limit: Int) -> [ReceivedMessage] {
        let number = number.map(PhoneNumber.digits)
        let sender = sender.map(PhoneNumber.digits)
        func matches(_ entry: ReceivedMessage) -> Bool {
            (id == nil || entry.id == id) && (number == nil || entry.number == number) && (sender == nil || entry.sender == sender)
        }
        let candidates: [Int]? =
            if let id { byID[id] ?? [] } else if let number { byNumber[number] ?? [] } else if let sender { bySender[sender] ?? [] } else { nil }
        var found: [ReceivedMessage] = []
        if let candidates {
            for candidate in candidates[firstIndex(after: sequence, in: candidates)...] {
                guard found.count < limit else { break }
                let entry = entries[candidate - 1 - dropped]
                if matches(entry) { found.append(entry) }
            }
            return found
        }
        let start = max(0, sequence - dropped)
        return start < entries.count ? Array(entries[start...].prefix(max(0, limit))) : []
    }

    /// The sequences ascend, so the first one behind `sequence` is found by halving.
    private func firstIndex(after sequence: Int, in sequences: [Int]) -> Int {
        var low = 0
        var high = sequences.count
        while low < high {
            let middle = (low + high) / 2
            if sequences[middle] > sequence { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private mutating func dropOldest() {
        let count = entries.count - limit
        for index in 0..<count {
            byKey[keys[index]] = nil
            forget(entries[index].id, in: &byID, upTo: dropped + count)
            forget(entries[index].number, in: &byNumber, upTo: dropped + count)
            forget(entries[index].sender, in: &bySender, upTo: dropped + count)
        }
        entries.removeFirst(count)
        keys.removeFirst(count)
        dropped += count
    }

    private func forget(_ key: String, in index: inout [String: [Int]], upTo sequence: Int) {
        guard let sequences = index[key], let first = sequences.first, first <= sequence else { return }
        let rest = Array(sequences[firstIndex(after: sequence, in: sequences)...])
        index[key] = rest.isEmpty ? nil : rest
    }
}
