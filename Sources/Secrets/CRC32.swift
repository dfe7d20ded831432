/// CRC-32 as in Ethernet and zip (polynomial 0xEDB88320, reflected). Finds typing mistakes; protects against nobody.
enum CRC32 {
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var register = UInt32.max
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = register >> 1 ^ (register & 1 == 0 ? 0 : 0xEDB8_8320) }
        }
        return ~register
    }
}
