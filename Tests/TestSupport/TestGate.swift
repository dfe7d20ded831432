/// How many tests may have a gateway at the same time: each has a dozen connections to the one cluster.
actor TestGate {
    static let shared = TestGate(places: 10)

    private var free: Int
    private var waiters: [CheckedContinuation<Void, Never>] = []

    init(places: Int) { free = places }

    func enter() async {
        guard free == 0 else {
            free -= 1
            return
        }
        await withCheckedContinuation { waiters.append($0) }
    }

    /// The place goes to who waits longest.
    func leave() {
        guard !waiters.isEmpty else {
            free += 1
            return
        }
        waiters.removeFirst().resume()
    }
}
