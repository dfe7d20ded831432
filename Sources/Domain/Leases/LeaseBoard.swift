/// How the engine nodes share the senders at one moment, as the database saw it.
package struct LeaseBoard: Equatable, Sendable {
    package struct Node: Equatable, Sendable {
        package let name: String
        /// Most senders it connects.
        package let capacity: Int
        package let held: Int

        package init(name: String, capacity: Int, held: Int) {
            self.name = name
            self.capacity = capacity
            self.held = held
        }
    }

    /// Senders that somebody should hold.
    package let wanted: Int
    /// Nodes seen lately, by name.
    package let nodes: [Node]

    package init(wanted: Int, nodes: [Node]) {
        self.wanted = wanted
        self.nodes = nodes
    }

    /// Most senders a node should hold now: the smallest number that, applied to every node within its capacity, covers what is wanted. 0 for a
    /// node that is not on the board.
    package func share(of name: String) -> Int {
        guard let me = nodes.first(where: { $0.name == name }) else { return 0 }
        return min(me.capacity, level)
    }

    /// How many senders a node may take now.
    package func room(of name: String) -> Int {
        guard let me = nodes.first(where: { $0.name == name }) else { return 0 }
        return max(0, share(of: name) - me.held)
    }

    /// How many senders a node hands over now: what it holds beyond its share, if others have room for it; a tenth of what it holds at a time, so
    /// that a node which joins does not make everybody connect anew at once.
    package func surplus(of name: String) -> Int {
        guard let me = nodes.first(where: { $0.name == name }) else { return 0 }
        let free = nodes.filter { $0.name != name }.map { room(of: $0.name) }.reduce(0, +)
        return max(0, min(me.held - share(of: name), free, max(1, me.held / 10)))
    }

    /// Water level: nodes with less capacity are full, the others share the rest evenly.
    private var level: Int {
        var left = wanted
        let capacities = nodes.map(\.capacity).sorted()
        for (index, capacity) in capacities.enumerated() {
            let sharing = capacities.count - index
            let even = (left + sharing - 1) / sharing
            if even <= capacity { return even }
            left -= capacity
        }
        return capacities.last ?? 0
    }
}
