import Foundation
import Logging
import Postgres
import TestSupport

/// Runs a test against a database of its own.
func withDatabase<Result>(connections: Int = 4, _ body: (Database, TestDatabase) async throws -> Result) async throws -> Result {
    let test = try await TestCluster.shared.database()
    let database = test.open(connections: connections)
    do {
        let result = try await body(database, test)
        await database.close()
        return result
    } catch {
        await database.close()
        throw error
    }
}

/// The `DatabaseError` that `body` throws; nil if it throws none.
func databaseError<Result>(_ body: () async throws -> Result) async throws -> DatabaseError? {
    do {
        _ = try await body()
        return nil
    } catch let error as DatabaseError {
        return error
    }
}

/// Runs a test with a cluster of its own, for those that stop or kill it.
func withCluster<Result>(_ body: (EmbeddedCluster, String) async throws -> Result) async throws -> Result {
    let directory = NSTemporaryDirectory() + "/gateway-cluster-\(UUID().uuidString)"
    let cluster = try await EmbeddedCluster.open(directory: directory, logger: .silent)
    do {
        let result = try await body(cluster, directory)
        try await cluster.stop()
        try FileManager.default.removeItem(atPath: directory)
        return result
    } catch {
        try await cluster.stop()
        throw error
    }
}
