import Foundation
import Logging
import Primitives
import Simulator
import WhatsAppWire

/// A simulator for one test, stopped behind it.
func withSimulator<Result>(
    _ configure: (inout WhatsAppSimulator.Configuration) -> Void = { _ in }, _ body: (WhatsAppSimulator) async throws -> Result
) async throws -> Result {
    var configuration = WhatsAppSimulator.Configuration()
    configure(&configuration)
    let simulator = try await WhatsAppSimulator.start(configuration: configuration, logger: Logger(label: "simulator.tests"))
    do {
        let result = try await body(simulator)
        await simulator.stop()
        return result
    } catch {
        await simulator.stop()
        throw error
    }
}

extension WhatsAppSimulator {
    var port: Int { URL(string: controlURL)?.port ?? 0 }

    /// A client that has shown its QR to the phone of `number` (a fresh one when nil) and was linked.
    func pair(number: String?, keys: RawClient.Keys = RawClient.makeKeys()) async throws -> (keys: RawClient.Keys, account: PairedAccount) {
        let client = try await RawClient.connect(port: port, root: rootKey, keys: keys)
        let stanza = try await client.next("iq")
        try await client.send(try CompanionPairing.acknowledgement(of: stanza))
        let reference = try CompanionPairing.references(of: stanza)[0]
        let qr = try CompanionPairing.qrText(
            reference: reference, noiseKey: keys.noise.publicKey, identityKey: keys.identity.keyPair.publicKey, advSecret: keys.secret,
            client: .chrome)
        try scan(qr: qr, number: number)
        let success = try await client.next("iq") { $0.child("pair-success") != nil }
        let outcome = try CompanionPairing.accept(success, identity: keys.identity.keyPair, advSecret: keys.secret, random: SystemRandom())
        guard case .accepted(let account, let reply) = outcome else { throw RawClient.Failure.unexpected("pairing") }
        try await client.send(reply)
        let end = try await client.next("stream:error")
        guard end.string("code") == "515" else { throw RawClient.Failure.unexpected("no restart") }
        _ = await client.isClosed()
        return (keys, account)
    }

    /// A linked client that is logged in, has uploaded its prekeys and takes stanzas.
    func logIn(number: String) async throws -> RawClient {
        let (keys, account) = try await pair(number: number)
        let client = try await RawClient.connect(port: port, root: rootKey, keys: keys, account: account)
        _ = try await client.next("success")
        try await client.uploadPreKeys()
        _ = try await client.request("set", "passive", [Node("active")])
        return client
    }

    /// Resolves a number, starts sessions and gives all devices of both users.
    func target(_ number: String, of client: RawClient) async throws -> (chat: JID, devices: [JID]) {
        guard let chat = try await client.resolve(number), let own = client.account?.lid else { throw RawClient.Failure.unexpected("no LID") }
        let devices = try await client.devices([chat, own.bare])
        try await client.begin(devices.filter { $0 != own })
        return (chat, devices)
    }
}
