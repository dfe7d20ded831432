/// What happens next: a binary heap by time, then by order of scheduling, so that a run depends on nothing but its seed.
struct EventQueue<Happening> {
    private struct Entry {
        let time: Int
        let order: Int
        let happening: Happening
    }

    private var heap: [Entry] = []
    private var scheduled = 0

    var isEmpty: Bool { heap.isEmpty }

    mutating func add(_ happening: Happening, at time: Int) {
        scheduled += 1
        heap.append(Entry(time: time, order: scheduled, happening: happening))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard precedes(child, parent) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func next() -> (time: Int, happening: Happening)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                let left = 2 * parent + 1
                if left < heap.count, precedes(left, least) { least = left }
                if left + 1 < heap.count, precedes(left + 1, least) { least = left + 1 }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return (first.time, first.happening)
    }

    private func precedes(_ one: Int, _ other: Int) -> Bool {
        heap[one].time != heap[other].time ? heap[one].time < heap[other].time : heap[one].order < heap[other].order
    }
}
