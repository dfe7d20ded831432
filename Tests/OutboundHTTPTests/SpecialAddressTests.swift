import OutboundHTTP
import Testing

@Suite struct SpecialAddressTests {
    /// The first and the last address of every range, and their neighbours outside where those are public.
    @Test(
        "what is nobody's public server is forbidden, its neighbours are not",
        arguments: [
            // IPv4
            ("0.0.0.0", false), ("0.255.255.255", false), ("1.0.0.0", true),
            ("9.255.255.255", true), ("10.0.0.0", false), ("10.255.255.255", false), ("11.0.0.0", true),
            ("100.63.255.255", true), ("100.64.0.0", false), ("100.127.255.255", false), ("100.128.0.0", true),
            ("126.255.255.255", true), ("127.0.0.0", false), ("127.0.0.1", false), ("127.255.255.255", false), ("128.0.0.0", true),
            ("169.253.255.255", true), ("169.254.0.0", false), ("169.254.169.254", false), ("169.254.255.255", false), ("169.255.0.0", true),
            ("172.15.255.255", true), ("172.16.0.0", false), ("172.31.255.255", false), ("172.32.0.0", true),
            ("191.255.255.255", true), ("192.0.0.0", false), ("192.0.0.192", false), ("192.0.0.255", false), ("192.0.1.0", true),
            ("192.0.1.255", true), ("192.0.2.0", false), ("192.0.2.255", false), ("192.0.3.0", true),
            ("192.88.98.255", true), ("192.88.99.0", false), ("192.88.99.255", false), ("192.88.100.0", true),
            ("192.167.255.255", true), ("192.168.0.0", false), ("192.168.255.255", false), ("192.169.0.0", true),
            ("198.17.255.255", true), ("198.18.0.0", false), ("198.19.255.255", false), ("198.20.0.0", true),
            ("198.51.99.255", true), ("198.51.100.0", false), ("198.51.100.255", false), ("198.51.101.0", true),
            ("203.0.112.255", true), ("203.0.113.0", false), ("203.0.113.255", false), ("203.0.114.0", true),
            ("223.255.255.255", true), ("224.0.0.0", false), ("239.255.255.255", false), ("240.0.0.0", false), ("255.255.255.255", false),
            ("8.8.8.8", true), ("100.100.100.200", false), ("169.254.170.2", false),
            // IPv6: mapped is IPv4
            ("::ffff:127.0.0.1", false), ("::ffff:10.0.0.1", false), ("::ffff:8.8.8.8", true), ("::ffff:a9fe:a9fe", false),
            ("::fffe:ffff:ffff", false), ("::1:0:0:0", false),
            // NAT64 is what is in it
            ("64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", false), ("64:ff9b::7f00:1", false), ("64:ff9b::a00:1", false), ("64:ff9b::808:808", true),
            ("64:ff9b::a9fe:a9fe", false), ("64:ff9b::1:0:0", false), ("64:ff9b:1::808:808", false),
            ("::", false), ("::1", false), ("::2", false), ("::808:808", false), ("100::", false), ("100::1", false),
            ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false), ("2000::", true),
            ("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true), ("2001::", false), ("2001:0:ffff::1", false),
            ("2001:2::1", false), ("2001:10::1", false), ("2001:20::1", false), ("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("2001:200::", true), ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", true), ("2001:db8::", false),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", false), ("2001:db9::", true),
            ("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true), ("2002::", false), ("2002:7f00:1::", false), ("2002:808:808::1", false),
            ("2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false), ("2003::", true), ("2606:4700::1111", true), ("2a00:1450::1", true),
            ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true), ("3fff::", false), ("3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("3fff:1000::", true), ("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true), ("4000::", false), ("5f00::1", false),
            ("fc00::", false), ("fd00:ec2::254", false), ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false), ("fe00::", false),
            ("fe80::1", false), ("febf::1", false), ("fec0::1", false), ("ff00::1", false), ("ff02::1", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ])
    func ranges(_ text: String, isPublic: Bool) throws {
        let address = try #require(IPAddress(text))

        #expect(EgressPolicy.public.permits(address) == isPublic)
    }

    @Test func `an operator's networks are reachable, cloud metadata never is`() throws {
        let everything = ["0.0.0.0/0", "::/0"].compactMap { IPNetwork($0) }
        let policy = EgressPolicy.allowing(networks: everything)

        for text in ["10.1.2.3", "127.0.0.1", "fd00::1", "::1", "8.8.8.8"] { #expect(IPAddress(text).map(policy.permits) == true) }
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "64:ff9b::a9fe:a9fe", "169.254.170.2"] {
            #expect(IPAddress(text).map(policy.permits) == false)
        }
        let ten = EgressPolicy.allowing(networks: [try #require(IPNetwork("10.1.0.0/16"))])
        #expect(IPAddress("10.1.255.255").map(ten.permits) == true)
        #expect(IPAddress("10.2.0.0").map(ten.permits) == false)
    }

    @Test func `one forbidden address condemns the whole answer`() throws {
        let good = try #require(IPAddress("8.8.8.8"))
        let bad = try #require(IPAddress("10.0.0.1"))

        #expect(try EgressPolicy.public.vet([good], of: "a.test") == [good])
        for mixed in [[good, bad], [bad, good]] {
            #expect { try EgressPolicy.public.vet(mixed, of: "a.test") } throws: { ($0 as? OutboundFailure)?.code == .addressForbidden }
        }
        #expect { try EgressPolicy.public.vet([], of: "a.test") } throws: { ($0 as? OutboundFailure)?.code == .dnsFailed }
    }

    @Test(
        "a network is an address with a length and nothing behind it",
        arguments: [
            ("10.0.0.0/8", true), ("10.0.0.1/8", false), ("10.0.0.1", true), ("::/0", true), ("0.0.0.0/0", true), ("fd00::/8", true),
            ("fd00::1/8", false), ("10.0.0.0/33", false), ("10.0.0.0/-1", false), ("10.0.0.0/", false), ("10.0.0.0/8/8", false), ("", false),
            ("10.0.0.0/008", false), ("::/129", false), ("10/8", false),
        ])
    func networks(_ text: String, isValid: Bool) {
        #expect((IPNetwork(text) != nil) == (isValid))
    }
}
