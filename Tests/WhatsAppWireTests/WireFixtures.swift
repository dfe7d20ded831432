import Primitives

@testable import WhatsAppWire

/// Repeatable bytes for tests: the same seed gives the same keys, signatures and mutations (SplitMix64).
struct SeededBytes: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// A random source that repeats one byte; for places where only repeatability matters.
struct ConstantRandom: RandomSource {
    var byte: UInt8 = 7

    func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: max(0, count)) }
}

func key(_ byte: UInt8) throws -> PrivateKey { try PrivateKey([UInt8](repeating: byte, count: 32)) }

func hex(_ text: String) throws -> [UInt8] {
    guard let bytes = Hex.decode(text.filter { !$0.isWhitespace }) else { throw WireError(.malformed, "hex of a test") }
    return bytes
}

/// Gives `body` every truncation of `valid`, then `count` seeded mutations of it: bits flipped, bytes replaced, removed, inserted and repeated.
/// None equals `valid`.
func forEachDamaged(_ valid: [UInt8], count: Int = 10_000, seed: UInt64 = 1, _ body: ([UInt8]) throws -> Void) rethrows {
    for length in valid.indices { try body(Array(valid[..<length])) }
    var random = SeededBytes(seed)
    for _ in 0..<count {
        var bytes = valid
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let index = Int.random(in: bytes.indices, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 1: bytes[index] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.remove(at: index)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
            default: bytes.append(contentsOf: bytes[index...].prefix(64))
            }
        }
        if bytes != valid { try body(bytes) }
    }
}
