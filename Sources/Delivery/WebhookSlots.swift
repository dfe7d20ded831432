import Domain

/// Whom this node is sending to, so that no endpoint and no account takes all of it: a value, and tested as one.
struct WebhookSlots: Sendable {
    struct Limits: Sendable {
        /// At the same time to one endpoint, by all nodes together.
        var perEndpoint = 8
        /// At the same time for one account, by this node.
        var perAccount = 64
        /// At the same time in all, by this node.
        var total = 256
    }

    let limits: Limits
    private var byEndpoint: [EndpointPlace: Int] = [:]
    private var byAccount: [Account.ID: Int] = [:]
    private(set) var count = 0

    var isFull: Bool { count >= limits.total }

    init(_ limits: Limits) { self.limits = limits }

    /// Takes slots for endpoints with something due: everybody gets an equal share of what is free, within its own limits.
    mutating func take(for places: [EndpointPlace]) -> [(place: EndpointPlace, most: Int)] {
        var taken: [(place: EndpointPlace, most: Int)] = []
        let open = places.filter { byEndpoint[$0, default: 0] < limits.perEndpoint && byAccount[$0.account, default: 0] < limits.perAccount }
        guard !open.isEmpty else { return [] }
        let share = max(1, (limits.total - count) / open.count)
        for place in open {
            let most = min(
                share, limits.perEndpoint - byEndpoint[place, default: 0], limits.perAccount - byAccount[place.account, default: 0],
                limits.total - count)
            guard most > 0 else { continue }
            byEndpoint[place, default: 0] += most
            byAccount[place.account, default: 0] += most
            count += most
            taken.append((place, most))
        }
        return taken
    }

    mutating func giveBack(_ place: EndpointPlace, _ number: Int = 1) {
        guard number > 0 else { return }
        count -= number
        let ofEndpoint = byEndpoint[place, default: 0] - number
        let ofAccount = byAccount[place.account, default: 0] - number
        byEndpoint[place] = ofEndpoint > 0 ? ofEndpoint : nil
        byAccount[place.account] = ofAccount > 0 ? ofAccount : nil
    }
}
