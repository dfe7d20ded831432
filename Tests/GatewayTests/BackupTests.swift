import Foundation
import Logging
import Postgres
import TestSupport
import Testing

@testable import gateway

/// What /docs/backup-restore tells people to do, done.
@Suite(.timeLimit(.minutes(10))) struct BackupTests {
    @Test func `A base backup of the embedded database and the keys bring everything back, and only together`() async throws {
        try await withTemporaryFolder { folder in
            let binary = try Repository.binary()
            func gateway(_ arguments: String...) async throws -> Repository.Outcome {
                try await Repository.run(binary, arguments, environment: ["GATEWAY_DATA_DIR": folder + "/data"], in: folder)
            }
            func shell(_ script: String) async throws {
                let outcome = try await Repository.run("/bin/bash", ["-euc", script], in: folder)
                #expect(outcome.code == 0, "\(script): \(outcome.errors)")
            }
            #expect(try await gateway("account", "create", "Toko Ani").code == 0)

            // given a backup of database and keys, taken while the database runs
            let cluster = try await EmbeddedCluster.open(directory: folder + "/data", logger: .silent)
            let socket = try #require(cluster.connectionString().split(separator: "'").dropFirst().first)
            try await shell(
                """
                pg_basebackup --host='\(socket)' --username=gateway_owner --pgdata=backup --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256
                "$(pg_config --bindir)"/pg_verifybackup --quiet backup
                cp -a data/keys backup-keys
                """)
            try await cluster.stop()
            #expect(try await gateway("account", "create", "Toko Budi").code == 0)

            // when all is lost and put back, first without the keys
            try await shell(
                """
                owner=$(stat --format=%U:%G data/postgres)
                mv data lost
                mkdir --mode=711 data
                cp -a backup data/postgres
                chown -R "$owner" data/postgres
                """)
            let keyless = try await gateway("account", "list")
            #expect(keyless.code == 1 && keyless.errors.contains(folder + "/data/keys"))
            try await shell("cp -a backup-keys data/keys")

            // then what the backup held is there, and no more
            let list = try await gateway("account", "list").output
            #expect(list.contains("Toko Ani") && !list.contains("Toko Budi"))
            #expect(try await gateway("restored").code == 0)
            #expect(try await gateway("cron", "hourly").code == 0)
            let doctor = try await gateway("doctor", "--offline")
            #expect(doctor.code == 0, "\(doctor.output)")
        }
    }
}
