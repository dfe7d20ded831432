import Testing
import TestSupport

@testable import Postgres

@Suite struct NotificationsTests {
    @Test func `a notification arrives, also on a channel added later and after a lost connection`() async throws {
        try await withDatabase(connections: 1) { database, test in
            let notifications = Notifications(Database.Configuration(url: test.url()), logger: .silent)
            let service = Task { try await notifications.run() }
            var first = notifications.channel("outbox").makeAsyncIterator()
            #expect(await first.next()?.payload == nil)  // connected
            try await database.execute("notify", "SELECT pg_notify('outbox', 'one')")
            #expect(await first.next() == Notifications.Hint(payload: "one"))

            var second = notifications.channel("other \"channel\"").makeAsyncIterator()
            #expect(await second.next() == Notifications.Hint(payload: nil))
            try await database.execute("notify", "SELECT pg_notify('other \"channel\"', 'two')")
            #expect(await second.next() == Notifications.Hint(payload: "two"))

            try await database.execute(
                "kill", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            #expect(await first.next() == Notifications.Hint(payload: nil))  // connected again
            try await database.execute("notify", "SELECT pg_notify('outbox', 'three')")
            #expect(await first.next() == Notifications.Hint(payload: "three"))

            service.cancel()
            try await service.value
            #expect(await first.next() == nil)
        }
    }
}
