package import Foundation
import Synchronization

/// Telegram's Bot API as its documentation describes it, on loopback: one bot, some chats with people in them. Requests that the documentation does
/// not allow are answered as Telegram answers them and written down in `complaints`, each with the page that says so.
///
///     let telegram = try await FakeTelegram.start(token: "7:…")
///     telegram.say("/start …", in: chat)
///     telegram.order(.flood(retryAfter: 35), for: "sendMessage")
///     telegram.messages(in: chat)       // what the people see
///     telegram.calls                    // what came, in its order
package final class FakeTelegram: Sendable {
    /// A request that came.
    package struct Call: Sendable {
        package let method: String
        package let body: [UInt8]
        package let at: Date

        package var object: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:] }
        package var chat: Int64? { (object["chat_id"] as? NSNumber)?.int64Value }
        package var text: String { object["text"] as? String ?? "" }
    }

    /// A message as the people in its chat see it.
    package struct Message: Sendable, Equatable {
        package let id: Int64
        package let chat: Int64
        /// As it was sent, with its tags.
        package var html: String
        /// Text and data, row by row.
        package var buttons: [[String]]
        package var data: [String]

        package init(id: Int64, chat: Int64, html: String, buttons: [[String]] = [], data: [String] = []) {
            self.id = id
            self.chat = chat
            self.html = html
            self.buttons = buttons
            self.data = data
        }
    }

    /// A chat, and the person who writes in it.
    package struct Chat: Sendable {
        package let id: Int64
        package let type: String
        package let name: String
        package let language: String

        package init(_ id: Int64, name: String = "Siti", language: String = "en") {
            self.id = id
            type = id < 0 ? (id < -1_000_000_000_000 ? "supergroup" : "group") : "private"
            self.name = name
            self.language = language
        }
    }

    /// How the next request of a method is answered.
    package enum Order: Sendable {
        case flood(retryAfter: Int)
        case blocked
        case chatNotFound
        case migrated(to: Int64)
        case conflict
        case unauthorized
        case server(Int)
        /// Takes the request, does it, and never answers.
        case hangAfterAccept
        /// The same, and closes without a word.
        case closeAfterAccept
        case close
        /// 200 and something that is no JSON.
        case garbage
    }

    struct State {
        var calls: [Call] = []
        var complaints: [String] = []
        var orders: [String: [Order]] = [:]
        var chats: [Int64: Chat] = [:]
        var blocked: Set<Int64> = []
        var migrated: [Int64: Int64] = [:]
        var messages: [Int64: [Message]] = [:]
        var presses: Set<String> = []
        var answered: [String: String] = [:]
        var updates: [(id: Int64, json: [UInt8])] = []
        var nextUpdate: Int64 = 1_000
        var nextMessage: Int64 = 1
        var webhook: (url: String, secret: String)?
        /// When messages were sent, by chat; for the limits.
        var sent: [Int64: [Date]] = [:]
        var poll: Int = 0
        /// Goes up when there may be something new for who waits.
        var turn = 0
        var waiters: [UUID: CheckedContinuation<Void, Never>] = [:]
    }

    package let token: String
    package let userName = "gateway_fake_bot"
    let now: @Sendable () -> Date
    let enforcesLimits: Bool
    let state = Mutex(State())
    private let server = Mutex<FakeAPI?>(nil)
    private let arrivals: AsyncStream<Call>
    private let arrival: AsyncStream<Call>.Continuation

    /// - Parameters:
    ///   - now: what the limits go by.
    ///   - enforcesLimits: whether more than the FAQ's numbers of messages get 429.
    package static func start(
        port: Int = 0, token: String = "7000001:AAFakeFakeFakeFakeFakeFakeFakeFakeF", enforcesLimits: Bool = true,
        now: @escaping @Sendable () -> Date = { Date() }
    ) async throws -> FakeTelegram {
        let fake = FakeTelegram(token: token, enforcesLimits: enforcesLimits, now: now)
        let server = try await FakeAPI.start(port: port) { await fake.answer($0) }
        fake.server.withLock { $0 = server }
        return fake
    }

    private init(token: String, enforcesLimits: Bool, now: @escaping @Sendable () -> Date) {
        self.token = token
        self.enforcesLimits = enforcesLimits
        self.now = now
        (arrivals, arrival) = AsyncStream.makeStream()
    }

    package func stop() async {
        wake()
        await server.withLock { $0 }?.stop()
        arrival.finish()
    }

    /// What `alerts.telegram.base_url` names.
    package var url: String { server.withLock { $0 }?.url ?? "" }

    // MARK: What came

    /// All requests but `getUpdates`, in their order.
    package var calls: [Call] { state.withLock { $0.calls.filter { $0.method != "getUpdates" } } }
    package var polls: Int { state.withLock { $0.calls.count { $0.method == "getUpdates" } } }
    /// What the documentation does not allow, with its page.
    package var complaints: [String] { state.withLock { $0.complaints } }
    package var webhook: (url: String, secret: String)? { state.withLock { $0.webhook } }
    /// Every byte of every request, for searches.
    package var everything: [[UInt8]] { state.withLock { $0.calls.map(\.body) } }
    package func messages(in chat: Int64) -> [Message] { state.withLock { $0.messages[chat, default: []] } }
    /// What was shown to who pressed a button, in no order.
    package var shown: [String] { state.withLock { Array($0.answered.values) } }

    /// Every request as it comes, `getUpdates` too; for one reader.
    package var stream: AsyncStream<Call> { arrivals }

    // MARK: What people do

    /// A person writes in a chat.
    /// - Returns: the update's id.
    @discardableResult
    package func say(_ text: String, in chat: Chat, update id: Int64? = nil) -> Int64 {
        let (update, message) = state.withLock { state -> (Int64, Int64) in
            state.chats[chat.id] = chat
            state.nextMessage += 1
            return (id ?? Self.newUpdate(&state), state.nextMessage)
        }
        push(
            update,
            [
                "update_id": update,
                "message": ["message_id": message, "from": Self.person(chat), "chat": Self.json(chat), "date": seconds, "text": text],
            ])
        return update
    }

    /// Somebody presses a button under a message, by its data.
    @discardableResult
    package func press(_ data: String, under message: Message, in chat: Chat) -> Int64 {
        let (update, press) = state.withLock { state -> (Int64, String) in
            let update = Self.newUpdate(&state)
            let press = "press-\(update)"
            state.presses.insert(press)
            return (update, press)
        }
        push(
            update,
            [
                "update_id": update,
                "callback_query": [
                    "id": press, "from": Self.person(chat), "chat_instance": "1", "data": data,
                    "message": ["message_id": message.id, "chat": Self.json(chat), "date": seconds, "text": message.html],
                ],
            ])
        return update
    }

    /// The person blocks the bot, or the group throws it out: it can write there no more, and is told.
    package func block(_ chat: Chat) {
        let update = state.withLock { state -> Int64 in
            state.blocked.insert(chat.id)
            return Self.newUpdate(&state)
        }
        let bot: [String: Any] = ["id": botID, "is_bot": true, "first_name": "Gateway", "username": userName]
        push(
            update,
            [
                "update_id": update,
                "my_chat_member": [
                    "chat": Self.json(chat), "from": Self.person(chat), "date": seconds, "old_chat_member": ["status": "member", "user": bot],
                    "new_chat_member": ["status": chat.id < 0 ? "left" : "kicked", "user": bot, "until_date": 0],
                ],
            ])
    }

    /// The chat takes messages no more, and nobody is told.
    package func blockSilently(_ chat: Chat) { state.withLock { _ = $0.blocked.insert(chat.id) } }

    /// The group becomes a supergroup with another id; only a request to the old one tells.
    package func migrate(_ chat: Chat, to id: Int64) {
        state.withLock { state in
            state.migrated[chat.id] = id
            state.chats[id] = Chat(id, name: chat.name, language: chat.language)
        }
    }

    /// The next requests of a method are answered so, one each.
    package func order(_ orders: Order..., for method: String) { state.withLock { $0.orders[method, default: []] += orders } }

    /// Something as it would come from Telegram, whatever it is.
    package func push(_ id: Int64, _ update: [String: Any]) {
        let json = FakeAnswer.bytes(update)
        state.withLock { $0.updates.append((id, json)) }
        wake()
    }

    /// A chat that the bot may write to although nobody wrote there yet.
    package func open(_ chat: Chat) { state.withLock { $0.chats[chat.id] = chat } }

    // MARK: Parts

    var botID: Int64 { Int64(token.prefix { $0 != ":" }) ?? 0 }
    private var seconds: Int { Int(now().timeIntervalSince1970) }

    private static func newUpdate(_ state: inout State) -> Int64 {
        state.nextUpdate += 1
        return state.nextUpdate
    }

    static func json(_ chat: Chat) -> [String: Any] {
        chat.id < 0
            ? ["id": chat.id, "type": chat.type, "title": chat.name]
            : ["id": chat.id, "type": chat.type, "first_name": chat.name, "username": chat.name.lowercased()]
    }

    private static func person(_ chat: Chat) -> [String: Any] {
        ["id": abs(chat.id), "is_bot": false, "first_name": chat.name, "username": chat.name.lowercased(), "language_code": chat.language]
    }

    func arrived(_ call: Call) {
        state.withLock { $0.calls.append(call) }
        arrival.yield(call)
    }

    func wake() {
        let waiters = state.withLock { state in
            defer { state.waiters = [:] }
            state.turn += 1
            return Array(state.waiters.values)
        }
        waiters.forEach { $0.resume() }
    }
}
