import WhatsAppWire

/// The control verbs that are not pairing or writing.
extension ServerState {
    mutating func addRecipient(_ number: String, devices: Int?, behaviour: RecipientBehaviour?) throws(SimulatorError) -> SimulatedUser {
        guard let digits = PhoneNumber.parse(number) else { throw SimulatorError(.invalidNumber) }
        if let devices, !(1...100).contains(devices) { throw SimulatorError(.tooManyDevices) }
        let index = makeAccount(number: digits, devices: devices ?? configuration.recipientDevices)
        while let devices, accounts[index].simulated.count < devices { addSimulatedDevice(to: index) }
        if let behaviour { accounts[index].behaviour = behaviour }
        return user(index)
    }

    mutating func addDevice(_ number: String, notify: Bool) throws(SimulatorError) -> String {
        guard let digits = PhoneNumber.parse(number) else { throw SimulatorError(.invalidNumber) }
        let index = makeAccount(number: digits, devices: configuration.recipientDevices)
        guard accounts[index].devices.count < 100 else { throw SimulatorError(.tooManyDevices) }
        let device = addSimulatedDevice(to: index)
        if notify { announceDevice(device, of: index) }
        return accounts[index].lidJID(device).description
    }

    /// Tells every linked client, as the server tells those who have the user among their chats; the user's own clients in their way.
    private mutating func announceDevice(_ device: UInt16, of index: Int) {
        let child = Node(
            "device", ["jid": .jid(accounts[index].phoneJID(device)), "lid": .jid(accounts[index].lidJID(device)), "key-index": .number(device)])
        let hash = ParticipantHash.phash(accounts[index].devices.map { accounts[index].phoneJID($0) })
        let lidHash = ParticipantHash.phash(accounts[index].devices.map { accounts[index].lidJID($0) })
        let notification = Node(
            "notification",
            [
                "from": .jid(accounts[index].phoneJID()), "lid": .jid(accounts[index].lidJID()), "type": "devices", "id": .string(makeStanzaID()),
                "t": .number(now),
            ], children: [Node("add", ["device_hash": .string(hash), "device_lid_hash": .string(lidHash)], children: [child])])
        for account in linkedAccounts where account != index {
            for number in accounts[account].linked.keys { enqueue(notification, for: DeviceReference(account: account, device: number)) }
        }
        announceOwnDevices(of: index)
    }

    /// Tells a user's linked clients which devices the user has now, but for the one that is `new` (protocol.md 7.5).
    mutating func announceOwnDevices(of index: Int, new: UInt16? = nil) {
        let others = accounts[index].linked.keys.filter { $0 != new }
        guard !others.isEmpty else { return }
        let devices = accounts[index].devices.map { accounts[index].phoneJID($0) }
        let list = Node("devices", ["dhash": .string(ParticipantHash.phash(devices))], children: devices.map { Node("device", ["jid": .jid($0)]) })
        let notification = Node(
            "notification",
            ["from": .jid(accounts[index].phoneJID()), "type": "account_sync", "id": .string(makeStanzaID()), "t": .number(now)], children: [list])
        for number in others { enqueue(notification, for: DeviceReference(account: index, device: number)) }
    }

    mutating func setBehaviour(_ behaviour: RecipientBehaviour, of number: String) throws(SimulatorError) {
        accounts[try index(ofNumber: number)].behaviour = behaviour
    }

    /// The account of a number, made like any recipient's if nobody asked about it yet.
    mutating func index(ofNumber number: String) throws(SimulatorError) -> Int {
        guard let digits = PhoneNumber.parse(number) else { throw SimulatorError(.invalidNumber) }
        return makeAccount(number: digits, devices: configuration.recipientDevices)
    }

    mutating func setBehaviour(_ behaviour: TrafficBehaviour, sender: String?) throws(SimulatorError) {
        guard let sender else {
            serverBehaviour = behaviour
            return
        }
        senderBehaviours[try account(ofSender: sender)] = behaviour
    }

    mutating func disconnect(sender: String, code: Int?) throws(SimulatorError) {
        for connection in connections(of: try linkedDevices(of: sender)) {
            close(connection, behind: code.map { Node("stream:error", ["code": .number($0)]) })
        }
    }

    /// As when the server restarts.
    mutating func disconnectAll(code: Int?) {
        for (id, connection) in connections {
            guard case .loggedIn = connection.phase else { continue }
            close(id, behind: code.map { Node("stream:error", ["code": .number($0)]) })
        }
    }

    mutating func replace(sender: String) throws(SimulatorError) {
        for connection in connections(of: try linkedDevices(of: sender)) { closeAsReplaced(connection) }
    }

    mutating func unlink(sender: String) throws(SimulatorError) {
        for device in try linkedDevices(of: sender) { unlink(device) }
    }

    // MARK: Looking

    var currentCounters: Counters { counters }

    var phones: [SimulatedPhone] {
        linkedAccounts.sorted().map { index in
            let account = accounts[index]
            return SimulatedPhone(
                number: account.number, jid: account.phoneJID().description, lid: account.lidJID().description,
                linkedDevices: account.linked.keys.sorted().compactMap { number in
                    account.linked[number].map { linked in
                        SimulatedPhone.Device(
                            jid: account.phoneJID(number).description, lid: account.lidJID(number).description, name: linked.name,
                            isConnected: linked.connection != nil, isActive: linked.isActive, oneTimePreKeys: linked.preKeyCount,
                            queued: linked.queue.count, peerReceipts: linked.peerReceipts)
                    }
                })
        }
    }

    func user(_ index: Int) -> SimulatedUser {
        let account = accounts[index]
        return SimulatedUser(
            number: account.number, jid: account.phoneJID().description, lid: account.lidJID().description,
            devices: account.devices.map { account.lidJID($0).description })
    }

    func account(ofSender sender: String) throws(SimulatorError) -> Int {
        let digits = PhoneNumber.digits(sender)
        if let index = accountsByNumber[digits] ?? accountsByLID[digits] { return index }
        guard let jid = JID(sender), let index = account(of: jid) else { throw SimulatorError(.unknownSender) }
        return index
    }

    /// The linked devices that a sender's number, LID, or device JID means.
    func linkedDevices(of sender: String) throws(SimulatorError) -> [DeviceReference] {
        let index = try account(ofSender: sender)
        var numbers = accounts[index].linked.keys.sorted()
        if let jid = JID(sender), jid.device > 0 { numbers = numbers.filter { $0 == jid.device } }
        guard !numbers.isEmpty else { throw SimulatorError(.unknownSender) }
        return numbers.map { DeviceReference(account: index, device: $0) }
    }

    private func connections(of devices: [DeviceReference]) -> [Int] {
        devices.compactMap { accounts[$0.account].linked[$0.device]?.connection }
    }
}
