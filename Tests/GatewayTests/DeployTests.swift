import Foundation
import Testing

@testable import gateway

/// The files that an installation is made of.
@Suite(.timeLimit(.minutes(5))) struct DeployTests {
    @Test func `The systemd units are valid, and a mistake in one would be noticed`() async throws {
        try await withTemporaryFolder { folder in
            let tool = "/usr/bin/systemd-analyze"
            guard FileManager.default.isExecutableFile(atPath: tool) else { return }
            let well = try await Repository.run("/bin/bash", [Repository.root + "/Scripts/deploy/verify"], in: folder)
            #expect(well.code == 0, "\(well.output)")
            #expect(well.output.contains("the units are valid"))

            try FileManager.default.copyItem(atPath: Repository.root + "/Scripts/deploy", toPath: folder + "/deploy")
            let unit = folder + "/deploy/gateway.service"
            let text = try String(contentsOfFile: unit, encoding: .utf8)
            try text.replacing("KillMode=mixed", with: "KillMode=gently").write(toFile: unit, atomically: true, encoding: .utf8)
            #expect(try await Repository.run("/bin/bash", [folder + "/deploy/verify"], in: folder).code != 0)
            try text.replacing("ProtectSystem=strict\n", with: "").replacing("NoNewPrivileges=yes\n", with: "").replacing(
                "CapabilityBoundingSet=\n", with: ""
            )
            .replacing("PrivateUsers=yes\n", with: "").write(toFile: unit, atomically: true, encoding: .utf8)
            #expect(try await Repository.run("/bin/bash", [folder + "/deploy/verify"], in: folder).code != 0)
        }
    }

    @Test func `The units stop the gateway alone, and give it the time it takes`() throws {
        let unit = try Repository.text("Scripts/deploy/gateway.service")
        // A SIGTERM to PostgreSQL's processes would end the database before what uses it.
        #expect(unit.contains("\nKillMode=mixed\n") && unit.contains("\nTimeoutStopSec=45\n"))
        #expect(unit.contains("\nRestartPreventExitStatus=2\n") && unit.contains("\nLimitCORE=0\n"))
    }
}
