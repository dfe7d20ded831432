import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct NoiseTests {
    static let now: Int64 = 1_800_000_000

    /// Both sides with fixed keys, and a certificate under the root `66*32`.
    private func parties(certifying other: PublicKey? = nil) throws -> (NoiseInitiator, NoiseResponder) {
        let server = try key(0x44)
        let chain = CertificateChain.make(
            root: try key(0x66), intermediate: try key(0x55), leaf: other ?? server.publicKey, notBefore: Self.now - 10, notAfter: Self.now + 10,
            random: ConstantRandom())
        return (
            NoiseInitiator(staticKey: try key(0x22), ephemeral: try key(0x11), rootKey: try key(0x66).publicKey),
            NoiseResponder(staticKey: server, ephemeral: try key(0x33), certificate: chain)
        )
    }

    @Test func `the handshake of protocol appendix C7 gives its hashes, fields and keys`() throws {
        // given
        let client = (ephemeral: try key(0x11), fixed: try key(0x22))
        let server = (ephemeral: try key(0x33), fixed: try key(0x44))
        var state = NoiseState(intro: Frame.intro)
        // when
        state.mixHash(client.ephemeral.publicKey.bytes)
        // then
        #expect(Hex.encode(state.hash) == "6c9ea30317f933b43ebefedd04d07fa1428b9530c67179ef1189ce3a91089bae")
        state.mixHash(server.ephemeral.publicKey.bytes)
        try state.mixKey(server.ephemeral, client.ephemeral.publicKey)
        let serverStatic = try state.encrypt(server.fixed.publicKey.bytes)
        #expect(
            Hex.encode(serverStatic)
                == "76c390387466635d58f0323bdcbe69099601a1a274074852c87a5a56adbc2200326ad89abf7d0428235760e33dfb7358")
        try state.mixKey(server.fixed, client.ephemeral.publicKey)
        #expect(Hex.encode(try state.encrypt(Array("cert".utf8))) == "4198e7f434e3479b9ecb31c52288329abbfe7a08")
        #expect(
            Hex.encode(try state.encrypt(client.fixed.publicKey.bytes))
                == "b9cb19690dfcfb9a42e033388870388167c822982ffe1d4ef4c15a4d3e5d9d414a26a2963509b6a27122d42e77bcb230")
        try state.mixKey(client.fixed, server.ephemeral.publicKey)
        #expect(Hex.encode(try state.encrypt(Array("payload".utf8))) == "30057c7a804bf70e5dcd47da528d95bc11f00b8b90248e")
        let keys = try state.transportKeys()
        #expect(Hex.encode(keys.first) == "eb2fe0bed643c43335b1354ec654dc80e37916a5b95f315e54435ddd476ef060")
        #expect(Hex.encode(keys.second) == "f6363bb26e6e9cb20ac77b14b6ec4ee9c92f3f1d9d1397468bb4ea23bed9d1d8")
        var channel = WireChannel(writeKey: keys.first, readKey: keys.second)
        #expect(Hex.encode(try channel.seal(Array("\0abc".utf8))) == "1bf9ecbd9a2a6a1ea6740fda7ccbf437e2166287")
    }

    @Test func `initiator and responder agree and talk in both directions`() throws {
        // given
        var (client, server) = try parties()
        // when
        let hello = client.hello()
        let serverHello = try server.received(clientHello: hello)
        var (finish, up) = try client.finish(serverHello: serverHello, clientPayload: [1, 2, 3], now: Self.now)
        var received = try server.received(clientFinish: finish)
        // then
        #expect(received.payload == [1, 2, 3])
        #expect(try received.clientStatic == key(0x22).publicKey)
        for number in UInt8(0)..<20 {
            #expect(try received.channel.open(try up.seal([number])) == [number])
            #expect(try up.open(try received.channel.seal([number, number])) == [number, number])
        }
    }

    @Test func `a step out of order is refused`() throws {
        var (client, server) = try parties()
        #expect(throws: WireError.self) { try client.finish(serverHello: [], clientPayload: [], now: Self.now) }
        #expect(throws: WireError.self) { try server.received(clientFinish: []) }

        let serverHello = try server.received(clientHello: client.hello())
        #expect(throws: WireError.self) { try server.received(clientHello: client.hello()) }
        #expect(client.hello() == client.hello())
        _ = try client.finish(serverHello: serverHello, clientPayload: [], now: Self.now)
        #expect(throws: WireError.self) { try client.finish(serverHello: serverHello, clientPayload: [], now: Self.now) }
    }

    @Test func `a server whose certificate is for another key, expired or under another root gets no answer`() throws {
        var (client, server) = try parties(certifying: try key(0x45).publicKey)
        let swapped = try server.received(clientHello: client.hello())
        #expect(throws: WireError(.certificate, "leaf is for another key")) {
            try client.finish(serverHello: swapped, clientPayload: [], now: Self.now)
        }
        var (late, honest) = try parties()
        let hello = try honest.received(clientHello: late.hello())
        var otherRoot = NoiseInitiator(staticKey: try key(0x22), ephemeral: try key(0x11), rootKey: try key(0x67).publicKey)
        _ = otherRoot.hello()
        #expect(throws: WireError(.certificate, "expired: is the clock right?")) {
            try late.finish(serverHello: hello, clientPayload: [], now: Self.now + 11)
        }
        #expect(throws: WireError(.certificate, "intermediate is not signed by the root")) {
            try otherRoot.finish(serverHello: hello, clientPayload: [], now: Self.now)
        }
    }

    @Test func `a damaged server hello is refused`() throws {
        // given
        var (client, server) = try parties()
        let hello = try server.received(clientHello: client.hello())
        let meaning = try WAHandshakeMessage(wire: hello)
        // then
        try forEachDamaged(hello) { bytes in
            var copy = client
            do {
                _ = try copy.finish(serverHello: bytes, clientPayload: [], now: Self.now)
            } catch {
                return
            }
            // What is left are other encodings of the very same content.
            let accepted = try WAHandshakeMessage(wire: bytes)
            #expect(accepted.serverHello == meaning.serverHello)
        }
    }

    @Test func `a damaged client hello or client finish never traps and never yields another payload`() throws {
        // given
        let (fresh, freshServer) = try parties()
        var client = fresh
        var server = freshServer
        let hello = client.hello()
        let (finish, _) = try client.finish(serverHello: try server.received(clientHello: hello), clientPayload: [9, 9], now: Self.now)
        // then
        forEachDamaged(hello, seed: 2) { bytes in
            var copy = freshServer
            do { _ = try copy.received(clientHello: bytes) } catch { #expect(error is WireError) }
        }
        forEachDamaged(finish, seed: 3) { bytes in
            var copy = server
            do {
                let received = try copy.received(clientFinish: bytes)
                #expect(received.payload == [9, 9])
            } catch {
                let codes: [WireError.Code?] = [.handshake, .malformed]
                #expect(codes.contains((error as? WireError)?.code))
            }
        }
    }

    @Test func `a channel that has used all counters refuses to seal and to open`() throws {
        // given
        let ends = [[UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 32)]
        var writer = WireChannel(writeKey: ends[0], readKey: ends[1], writeCounter: .max - 1, readCounter: 0)
        var reader = WireChannel(writeKey: ends[1], readKey: ends[0], writeCounter: 0, readCounter: .max - 1)
        // when
        for byte in UInt8(0)..<2 { #expect(try reader.open(try writer.seal([byte])) == [byte]) }
        // then
        #expect(throws: WireError(.limitExceeded, "frame counter")) { try writer.seal([3]) }
        #expect(throws: WireError(.limitExceeded, "frame counter")) { try reader.open([UInt8](repeating: 0, count: 20)) }
    }

    @Test func `a frame that is damaged, repeated or out of order does not open`() throws {
        var writer = WireChannel(writeKey: [UInt8](repeating: 1, count: 32), readKey: [UInt8](repeating: 2, count: 32))
        let reader = WireChannel(writeKey: [UInt8](repeating: 2, count: 32), readKey: [UInt8](repeating: 1, count: 32))
        let first = try writer.seal(Array("first".utf8))
        let second = try writer.seal(Array("second".utf8))

        forEachDamaged(first, count: 1000) { bytes in
            var copy = reader
            #expect(throws: WireError(.authenticationFailed, "frame")) { try copy.open(bytes) }
        }
        var copy = reader
        #expect(throws: WireError(.authenticationFailed, "frame")) { try copy.open(second) }
        copy = reader
        _ = try copy.open(first)
        #expect(throws: WireError(.authenticationFailed, "frame")) { try copy.open(first) }
    }
}
