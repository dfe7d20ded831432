import Primitives
import Testing

@Suite struct HashTests {
    @Test func `plain hashes give the published answers for abc`() {
        let abc = Array("abc".utf8)
        #expect(Hex.encode(Digest.sha256(abc)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(Hex.encode(Digest.sha256([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            Digest.sha512(abc)
                == hex(
                    """
                    ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
                    2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f
                    """))
        #expect(Hex.encode(Digest.md5(abc)) == "900150983cd24fb0d6963f7d28e17f72")
    }

    @Test func `HMAC gives the answers of RFC 4231`() {
        // case 1, 2 and 6 (a key longer than a block)
        let (key1, data1) = ([UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8))
        let (key2, data2) = (Array("Jefe".utf8), Array("what do ya want for nothing?".utf8))
        let (key6, data6) = ([UInt8](repeating: 0xAA, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8))

        #expect(Hex.encode(HMAC256.authenticate(data1, key: key1)) == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        #expect(Hex.encode(HMAC256.authenticate(data2, key: key2)) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        #expect(Hex.encode(HMAC256.authenticate(data6, key: key6)) == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
        #expect(
            HMAC512.authenticate(data2, key: key2)
                == hex(
                    """
                    164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
                    9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737
                    """))
        #expect(HMAC256.isValid(HMAC256.authenticate(data1, key: key1), for: data1, key: key1))
        #expect(!HMAC256.isValid(Array(HMAC256.authenticate(data1, key: key1).dropLast()), for: data1, key: key1))
    }

    @Test func `HKDF gives the answers of RFC 5869`() throws {
        let first = try HKDF256.derive([UInt8](repeating: 0x0B, count: 22), salt: counting(13), info: counting(10, from: 0xF0), count: 42)
        let second = try HKDF256.derive(counting(80), salt: counting(80, from: 0x60), info: counting(80, from: 0xB0), count: 82)
        let third = try HKDF256.derive([UInt8](repeating: 0x0B, count: 22), salt: [], info: [], count: 42)

        #expect(first == hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
        #expect(
            second
                == hex(
                    """
                    b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09
                    da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87
                    """))
        #expect(third == hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
    }

    @Test func `HKDF gives 1 to 8160 bytes, each a prefix of the longer, and refuses other counts`() throws {
        let longest = try HKDF256.derive(counting(32), salt: [], info: [7], count: 8160)

        for count in [1, 31, 32, 33, 64, 8159] {
            #expect(try HKDF256.derive(counting(32), salt: [], info: [7], count: count) == Array(longest.prefix(count)))
        }
        #expect(try HKDF256.derive(counting(32), salt: [UInt8](repeating: 0, count: 32), info: [7], count: 8160) == longest)
        for count in [-1, 0, 8161, .max] {
            #expect(throws: CryptoFailure(.invalidLength)) { try HKDF256.derive([1], salt: [], info: [], count: count) }
        }
    }

    @Test func `PBKDF2 gives the published answer, and nothing for impossible counts`() throws {
        let (password, salt) = (Array("password".utf8), Array("salt".utf8))

        #expect(
            try PBKDF2.sha256(password: password, salt: salt, rounds: 1, count: 32)
                == hex("120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"))
        #expect(throws: CryptoFailure(.invalidLength)) { try PBKDF2.sha256(password: password, salt: salt, rounds: 0, count: 32) }
        #expect(throws: CryptoFailure(.invalidLength)) { try PBKDF2.sha256(password: password, salt: salt, rounds: 1, count: 0) }
    }

    @Test func `the pairing code's key and wrapping are those of the protocol text`() throws {
        // protocol.md C.5
        let key = try PBKDF2.sha256(password: Array("119K5DT5".utf8), salt: counting(32), rounds: 131_072, count: 32)
        let wrapped = try AESCTR.apply([9] + [UInt8](repeating: 0, count: 31), key: key, iv: counting(16))

        #expect(Hex.encode(key) == "03170160067e84fedead502783a1156a3ab5dd3ccb00f1b1060fd6185c9fee3d")
        #expect(Hex.encode(wrapped) == "7ad58839b442d105c53c2e60bd79a99a18b410d1536326bd41d9433585b16965")
    }
}
