import Foundation
import Primitives
import Testing

@testable import Secrets

@Suite struct KeyRingTests {
    static let account = UUID()

    @Test func `a ring is made only when told, with files of mode 0600`() async throws {
        try await withDirectory { directory in
            #expect { try KeyRing.open(directory: directory, createIfMissing: false) } throws: {
                ($0 as? KeyRingFailure)?.code == .noKeys
            }

            let ring = try KeyRing.open(directory: directory, createIfMissing: true)

            let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            #expect(names == ["gateway-root", "kek-000001"])
            for name in names {
                let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/" + name)
                #expect(attributes[.posixPermissions] as? Int == 0o600)
                #expect(attributes[.size] as? Int == 32)
            }
            #expect(ring.currentID == 1 && ring.ids == [1])
        }
    }

    @Test func `opening again gives the same keys and makes none`() async throws {
        try await withDirectory { directory in
            let first = try KeyRing.open(directory: directory, createIfMissing: true)
            let second = try KeyRing.open(directory: directory, createIfMissing: true)
            let key = DataKey(random: SystemRandom())

            #expect(try second.unwrap(first.wrap(key, account: Self.account), account: Self.account).secret.matches(key.secret))
            #expect(second.gateway.apiKeyPepper.matches(first.gateway.apiKeyPepper))
            #expect(second.ids == [1])
        }
    }

    @Test(arguments: [0o640, 0o604, 0o644, 0o666, 0o700, 0o601]) func `a file that others may use is refused by name, with the cure`(mode: Int)
        async throws
    {
        try await withDirectory { directory in
            _ = try KeyRing.open(directory: directory, createIfMissing: true)
            for name in ["kek-000001", "gateway-root"] {
                let path = directory + "/" + name
                try setMode(mode, of: path)

                #expect { try KeyRing.open(directory: directory, createIfMissing: true) } throws: { error in
                    guard let failure = error as? KeyRingFailure else { return false }
                    return failure.code == .tooWide && failure.path == path && failure.description.contains("chmod 600 '\(path)'")
                }
                try setMode(0o400, of: path)
                _ = try KeyRing.open(directory: directory, createIfMissing: false)
            }
        }
    }

    @Test func `a directory that others may write to is refused`() async throws {
        try await withDirectory { directory in
            _ = try KeyRing.open(directory: directory, createIfMissing: true)
            try setMode(0o770, of: directory)

            #expect { try KeyRing.open(directory: directory, createIfMissing: false) } throws: { ($0 as? KeyRingFailure)?.code == .tooWide }
        }
    }

    @Test(arguments: [0, 31, 33]) func `a file of another length is no key`(count: Int) async throws {
        try await withDirectory { directory in
            _ = try KeyRing.open(directory: directory, createIfMissing: true)
            let path = directory + "/kek-000002"
            try Data(SystemRandom().bytes(count)).write(to: URL(fileURLWithPath: path))
            try setMode(0o600, of: path)

            #expect { try KeyRing.open(directory: directory, createIfMissing: false) } throws: { ($0 as? KeyRingFailure)?.code == .badKey }
        }
    }

    @Test func `a file of zeros is no key and a missing root is not replaced`() async throws {
        try await withDirectory { directory in
            _ = try KeyRing.open(directory: directory, createIfMissing: true)
            try FileManager.default.removeItem(atPath: directory + "/gateway-root")
            #expect { try KeyRing.open(directory: directory, createIfMissing: true) } throws: { ($0 as? KeyRingFailure)?.code == .incomplete }

            try Data(count: 32).write(to: URL(fileURLWithPath: directory + "/gateway-root"))
            try setMode(0o600, of: directory + "/gateway-root")
            #expect { try KeyRing.open(directory: directory, createIfMissing: true) } throws: { ($0 as? KeyRingFailure)?.code == .badKey }
        }
    }

    @Test func `an interrupted first start goes on, and drafts are not keys`() async throws {
        try await withDirectory { directory in
            _ = try KeyFile.create("gateway-root", in: directory, random: SystemRandom())
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: directory + "/.kek-000001.0011"))
            let root = try KeyFile.read(directory + "/gateway-root")

            let ring = try KeyRing.open(directory: directory, createIfMissing: true)

            #expect(ring.ids == [1])
            #expect(try KeyFile.read(directory + "/gateway-root").matches(root))
        }
    }

    @Test func `creating never replaces a key`() async throws {
        try await withDirectory { directory in
            #expect(try KeyFile.create("kek-000001", in: directory, random: SystemRandom()))
            let key = try KeyFile.read(directory + "/kek-000001")

            #expect(try !KeyFile.create("kek-000001", in: directory, random: SystemRandom()))

            #expect(try KeyFile.read(directory + "/kek-000001").matches(key))
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["kek-000001"])
        }
    }

    @Test func `rotation wraps with the new key, reads the old, and a destroyed key reads nothing`() async throws {
        try await withDirectory { directory in
            let old = try KeyRing.open(directory: directory, createIfMissing: true)
            let key = DataKey(random: SystemRandom())
            let wrapped = old.wrap(key, account: Self.account)

            let ring = try old.rotated()
            let rewrapped = ring.wrap(try ring.unwrap(wrapped, account: Self.account), account: Self.account)
            #expect(ring.ids == [1, 2] && ring.currentID == 2)
            #expect(try KeyRing.keyID(ofWrapped: wrapped) == 1 && KeyRing.keyID(ofWrapped: rewrapped) == 2)
            #expect(ring.gateway.apiKeyPepper.matches(old.gateway.apiKeyPepper))
            #expect { try ring.destroying(2) } throws: { ($0 as? KeyRingFailure)?.code == .inUse }
            #expect { try ring.destroying(3) } throws: { ($0 as? KeyRingFailure)?.code == .unknownKey }

            let left = try ring.destroying(1)
            #expect(left.ids == [2])
            #expect(throws: SecretsFailure(.unknownKey)) { try left.unwrap(wrapped, account: Self.account) }
            #expect(try left.unwrap(rewrapped, account: Self.account).secret.matches(key.secret))
        }
    }

    @Test func `a wrapped key opens for its account only, and not after a change`() async throws {
        try await withDirectory { directory in
            let ring = try KeyRing.open(directory: directory, createIfMissing: true)
            let wrapped = ring.wrap(DataKey(version: 3, random: SystemRandom()), account: Self.account)

            #expect(try ring.unwrap(wrapped, account: Self.account).version == 3)
            #expect(throws: SecretsFailure(.authenticationFailed)) { try ring.unwrap(wrapped, account: UUID()) }
            for index in wrapped.indices {
                var changed = wrapped
                changed[index] ^= 1
                #expect(throws: SecretsFailure.self) { try ring.unwrap(changed, account: Self.account) }
            }
            for count in 0..<wrapped.count {
                #expect(throws: SecretsFailure(.malformed)) { try ring.unwrap(Array(wrapped.prefix(count)), account: Self.account) }
            }
        }
    }
}
