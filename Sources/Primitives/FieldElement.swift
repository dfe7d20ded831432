/// An integer modulo p = 2^255 − 19, as five limbs of 51 bits, little endian.
///
/// For one purpose: libsodium turns Edwards keys into Montgomery keys but not back, and XEdDSA verifies under the Edwards form.
/// It works on public keys only, so its time may depend on them (in fact it hardly does).
struct FieldElement: Sendable {
    // Invariant between operations: every limb is below 2^52.
    private var limbs: (UInt64, UInt64, UInt64, UInt64, UInt64)
    private static let mask: UInt64 = (1 << 51) - 1

    static let one = FieldElement((1, 0, 0, 0, 0))

    private init(_ limbs: (UInt64, UInt64, UInt64, UInt64, UInt64)) {
        self.limbs = limbs
    }

    /// 32 bytes, little endian. The top bit is ignored (RFC 7748 §5); values from p on are reduced.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        func word(_ start: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) } }
        limbs = (
            word(0) & Self.mask, (word(6) >> 3) & Self.mask, (word(12) >> 6) & Self.mask, (word(19) >> 1) & Self.mask,
            (word(24) >> 12) & Self.mask
        )
    }

    /// The 32 bytes of the value below p; the top bit is 0.
    var bytes: [UInt8] {
        var value = carried
        // Adding 19 overflows 2^255 exactly when the value is p or more; that carry tells whether p must go.
        let l = value.limbs
        var quotient = (l.0 + 19) >> 51
        quotient = (l.1 + quotient) >> 51
        quotient = (l.2 + quotient) >> 51
        quotient = (l.3 + quotient) >> 51
        quotient = (l.4 + quotient) >> 51
        value.limbs.0 += 19 * quotient
        value.limbs.1 += value.limbs.0 >> 51
        value.limbs.2 += value.limbs.1 >> 51
        value.limbs.3 += value.limbs.2 >> 51
        value.limbs.4 += value.limbs.3 >> 51
        let (a, b, c, d, e) = value.limbs
        let (l0, l1, l2, l3, l4) = (a & Self.mask, b & Self.mask, c & Self.mask, d & Self.mask, e & Self.mask)
        let words = [l0 | l1 << 51, l1 >> 13 | l2 << 38, l2 >> 26 | l3 << 25, l3 >> 39 | l4 << 12]
        return words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
    }

    var isZero: Bool { bytes.allSatisfy { $0 == 0 } }

    static func + (a: FieldElement, b: FieldElement) -> FieldElement {
        let (x, y) = (a.limbs, b.limbs)
        return FieldElement((x.0 + y.0, x.1 + y.1, x.2 + y.2, x.3 + y.3, x.4 + y.4)).carried
    }

    static func - (a: FieldElement, b: FieldElement) -> FieldElement {
        // 4p is added first, so that no limb goes below zero: every limb of b is below 2^52 and of 4p above it.
        let (x, y) = (a.limbs, b.limbs)
        let (low, high): (UInt64, UInt64) = (4 * ((1 << 51) - 19), 4 * ((1 << 51) - 1))
        return FieldElement((x.0 + low - y.0, x.1 + high - y.1, x.2 + high - y.2, x.3 + high - y.3, x.4 + high - y.4)).carried
    }

    static func * (a: FieldElement, b: FieldElement) -> FieldElement {
        let (x, y) = (a.limbs, b.limbs)
        // 2^255 = 19 (mod p): what would land in limb 5 + n comes back times 19 in limb n. Sums stay below 2^111.
        let (y1, y2, y3, y4) = (19 * y.1, 19 * y.2, 19 * y.3, 19 * y.4)
        func m(_ a: UInt64, _ b: UInt64) -> UInt128 { UInt128(a) &* UInt128(b) }
        let r0 = m(x.0, y.0) &+ m(x.1, y4) &+ m(x.2, y3) &+ m(x.3, y2) &+ m(x.4, y1)
        var r1 = m(x.0, y.1) &+ m(x.1, y.0) &+ m(x.2, y4) &+ m(x.3, y3) &+ m(x.4, y2)
        var r2 = m(x.0, y.2) &+ m(x.1, y.1) &+ m(x.2, y.0) &+ m(x.3, y4) &+ m(x.4, y3)
        var r3 = m(x.0, y.3) &+ m(x.1, y.2) &+ m(x.2, y.1) &+ m(x.3, y.0) &+ m(x.4, y4)
        var r4 = m(x.0, y.4) &+ m(x.1, y.3) &+ m(x.2, y.2) &+ m(x.3, y.1) &+ m(x.4, y.0)
        func low(_ r: UInt128) -> UInt64 { UInt64(truncatingIfNeeded: r) & mask }
        r1 &+= r0 >> 51
        r2 &+= r1 >> 51
        r3 &+= r2 >> 51
        r4 &+= r3 >> 51
        let wrapped = UInt128(low(r0)) &+ (r4 >> 51) &* 19
        let second = low(r1) + UInt64(truncatingIfNeeded: wrapped >> 51)
        // Only the second limb can pass 2^51, and by less than 2^14.
        return FieldElement((low(wrapped), second, low(r2), low(r3), low(r4)))
    }

    /// 1 / self, which is self^(p − 2) (Fermat); zero for zero.
    var inverse: FieldElement {
        // p − 2 = 2^255 − 21 = (2^250 − 1) · 2^5 + 11. `onesN` is self^(2^n − 1); doubling n takes one multiplication.
        let power2 = self * self
        let power9 = power2.squared(2) * self
        let power11 = power9 * power2
        let ones5 = power11.squared(1) * power9
        let ones10 = ones5.squared(5) * ones5
        let ones20 = ones10.squared(10) * ones10
        let ones40 = ones20.squared(20) * ones20
        let ones50 = ones40.squared(10) * ones10
        let ones100 = ones50.squared(50) * ones50
        let ones200 = ones100.squared(100) * ones100
        let ones250 = ones200.squared(50) * ones50
        return ones250.squared(5) * power11
    }

    /// self^(2^times)
    private func squared(_ times: Int) -> FieldElement {
        var result = self
        for _ in 0..<times { result = result * result }
        return result
    }

    private var carried: FieldElement {
        var (a, b, c, d, e) = limbs
        b += a >> 51
        c += b >> 51
        d += c >> 51
        e += d >> 51
        a = (a & Self.mask) + 19 * (e >> 51)
        b &= Self.mask
        c &= Self.mask
        d &= Self.mask
        e &= Self.mask
        b += a >> 51
        a &= Self.mask
        return FieldElement((a, b, c, d, e))
    }
}
