import Foundation
import Testing

@testable import Postgres

/// Which folder a cluster gets when the user it runs as cannot enter the wanted one.
struct ClusterPlaceTests {
    private let user = ClusterUser(name: "somebody", id: 54_321, group: 54_321)

    private func withFolders(_ body: (_ closed: String, _ shared: String) throws -> Void) throws {
        // A folder below /tmp, which everybody may enter, whatever TMPDIR says.
        let root = "/tmp/gateway-place-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: root) }
        for (name, mode) in [("", 0o755), ("/closed", 0o700), ("/open", 0o711)] {
            try FileManager.default.createDirectory(atPath: root + name, withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
        }
        try body(root + "/closed", root + "/shared")
    }

    @Test func `a folder that can be entered is taken as it is`() throws {
        try withFolders { closed, shared in
            let wanted = URL(fileURLWithPath: closed).deletingLastPathComponent().path + "/open/data"
            let found = try ClusterPlace.resolve(wanted, for: user, shared: shared)
            #expect(found == wanted)
            let unmoved = try ClusterPlace.resolve(closed + "/data", for: nil, shared: shared)
            #expect(unmoved == closed + "/data")
            #expect(!FileManager.default.fileExists(atPath: shared))
        }
    }

    @Test func `below a closed folder the cluster lies elsewhere, always at the same place`() throws {
        try withFolders { closed, shared in
            let place = try ClusterPlace.resolve(closed + "/data", for: user, shared: shared)
            #expect(place.hasPrefix(shared + "/"))
            let again = try ClusterPlace.resolve(closed + "/data", for: user, shared: shared)
            #expect(again == place)
            let other = try ClusterPlace.resolve(closed + "/other", for: user, shared: shared)
            #expect(other != place)
            // With the directory the keys are gone too: a new cluster is made, not the old one opened.
            try FileManager.default.removeItem(atPath: closed + "/data")
            let fresh = try ClusterPlace.resolve(closed + "/data", for: user, shared: shared)
            #expect(fresh != place)
        }
    }

    @Test func `a link to what is gone is replaced`() throws {
        try withFolders { closed, shared in
            let place = try ClusterPlace.resolve(closed + "/data", for: user, shared: shared)
            try FileManager.default.removeItem(atPath: place)
            let next = try ClusterPlace.resolve(closed + "/data", for: user, shared: shared)
            #expect(next != place && FileManager.default.fileExists(atPath: next))
        }
    }
}
